"""Load tests (`otb loadtest`): profiles, generator processes, time series, verdicts, search and comparison.

profile         when every request is due, and how several generators share them
series          what happened in each interval of a run, as one generator saw it
generator       one generator process; crew starts several on one instant
gauges          lag, CPU, memory and dead letters while a run lasts
plan            what a test is to do, and each generator's part of it
conduct         one load test from beginning to end; assembly: from what was seen to the report
report          what a load test reports, its verdict, and its JSON
percentiles     percentiles of histogram buckets
drift           what changed between the beginning and the end of a long run
search          the highest rate whose p99 stays under a bound
resampling      confidence intervals by a block bootstrap; comparison: two reports, side by side
chart, page     the HTML report
"""
