-- Every gate's verdict on every candidate, week by week.
select
    symbol,
    cast(week as date) as week,
    gate,
    cast(fold as varchar) as fold,
    cast(value as double) as value,
    cast(threshold as double) as threshold,
    passed,
    reason,
    bool_and(passed) over (partition by symbol, week) as candidate_accepted
from {{ source('gates', 'outcomes') }}
order by symbol, week, gate, fold
