"""An embedded Market: the API's rules and faults on a loopback address, for the demo and the tests."""
