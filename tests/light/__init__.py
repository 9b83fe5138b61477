"""Tests of the speed of light."""
