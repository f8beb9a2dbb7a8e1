"""The same contracts under CometBFT validators: the application, the node, the network, the client.

Knows what a host knows, and the protocols that CometBFT speaks.
"""
