-- What the runner has earned on paper, by symbol and day of exit, after fees and funding.
with trades as (
    select *, cast({{ moment('exit_time_ms') }} as date) as day
    from {{ source('monitoring', 'live_trades') }}
),

days as (
    select
        symbol,
        day,
        count(*) as trades,
        count(*) filter (where pnl > 0) as wins,
        sum(fees) as fees,
        sum(funding) as funding,
        sum(pnl) as pnl
    from trades
    group by symbol, day
)

select
    *,
    cast(wins as double precision) / trades as win_rate,
    sum(pnl) over (partition by symbol order by day) as pnl_to_date
from days
order by symbol, day
