-- What the runner has earned on paper, by symbol and day of exit, after fees and funding.
with days as (
    select
        symbol,
        cast(make_timestamp(exit_time_ms * 1000) as date) as day,
        count(*) as trades,
        count(*) filter (where pnl > 0) as wins,
        sum(fees) as fees,
        sum(funding) as funding,
        sum(pnl) as pnl
    from {{ source('monitoring', 'live_trades') }}
    group by all
)

select
    *,
    wins / trades as win_rate,
    sum(pnl) over (partition by symbol order by day) as pnl_to_date
from days
order by symbol, day
