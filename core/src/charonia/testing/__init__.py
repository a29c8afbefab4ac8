"""The kit for authors of plugins: suites to inherit, builders, fixtures and small real backends.

    from charonia.testing.backend_suite import BackendSuite

The suites are what the plugins of this house pass themselves. The fixtures are there in every pytest run of an environment
that has Charonia.
"""
