"""The gateway of a site: awards become set-points, what the meters signed becomes messages.

One slot, at a hub whose ports are charge points:

    dispatch = Dispatch(hub.points, targets_of(awards), slot)
    now_s = slot.start_s
    while now_s < slot.end_s:
        until_s = dispatch.steer(now_s)
        ...                                   # time passes until then
        now_s = until_s
    readings = read_meters(hub.points, hub.main_meter, dispatch.ports_to_report(), ...)
    report = report_readings(readings, registered=..., ...)
"""
