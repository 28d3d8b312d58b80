-- Every gate's verdict on every candidate, week by week.
select
    symbol,
    cast(week as date) as week,
    gate,
    cast(fold as text) as fold,
    {{ number('value') }},
    {{ number('threshold') }},
    passed,
    reason,
    bool_and(passed) over (partition by symbol, week) as candidate_accepted
from {{ source('gates', 'outcomes') }}
order by symbol, week, gate, fold
