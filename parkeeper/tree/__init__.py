"""The data model as pure code: no I/O, no clock (time is passed in), no Trio."""
