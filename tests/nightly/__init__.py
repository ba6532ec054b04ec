"""The long versions of the tests that hold the promises, and the report of what they measured (``make nightly``)."""
