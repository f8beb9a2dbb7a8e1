"""The gateway of a site: awards become set-points, what the meters signed becomes messages.

One slot, with a hub whose ports are charge points:

    dispatch = Dispatch(hub.points, targets_of(awards), slot)
    for now_s in range(slot.start_s, slot.end_s, STEP_S):
        dispatch.steer(now_s)
        ...                                   # a minute passes
    readings = read_meters(hub.points, hub.main_meter, dispatch)
    report = report_readings(round_id, readings, ...)
"""
