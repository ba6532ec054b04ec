"""The law: values and rules that know no clock, no I/O and no framework."""
