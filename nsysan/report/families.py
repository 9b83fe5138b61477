"""TWO EDITORS WROTE THIS FILE. It is for the wire's CollectiveFamily, find_families, find_link, with_peaks, size_series
(write them again here). The comparison's families were moved to nsysan/report/side_families.py: import them from there.
"""
