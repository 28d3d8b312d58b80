{% set bar_ms = raw_table('candles').period_ms %}
-- What holding one coin long has cost in funding. A settlement takes its rate of the position's value at the mark price:
-- that of the mark candle that opens then, or closes then, or else of the traded candle.
with settlements as (
    select
        *,
        {{ moment(whole(ms('settled_hour'), bar_ms) ~ ' * ' ~ bar_ms) }} as priced_at
    from {{ ref('stg_funding') }}
),

prices as (
    select symbol, opened_at as priced_at, open as price, 1 as place from {{ ref('stg_mark_candles') }}
    union all
    select symbol, closed_at, close, 2 from {{ ref('stg_mark_candles') }}
    union all
    select symbol, opened_at, open, 3 from {{ ref('stg_candles') }}
    union all
    select symbol, closed_at, close, 4 from {{ ref('stg_candles') }}
),

priced as (
    select
        settlements.symbol,
        settlements.settled_hour,
        settlements.funding_rate,
        prices.price,
        row_number() over (partition by settlements.symbol, settlements.settled_hour order by prices.place) as place
    from settlements
    left join prices on prices.symbol = settlements.symbol and prices.priced_at = settlements.priced_at
),

days as (
    select
        symbol,
        cast(settled_hour as date) as day,
        count(*) as settlements,
        count(price) as settlements_priced,
        avg(price) as price,
        sum(funding_rate) as rate,
        sum(funding_rate * price) as paid_usdt
    from priced
    where place = 1
    group by symbol, cast(settled_hour as date)
)

select
    *,
    sum(rate) over (partition by symbol, date_trunc('month', day) order by day) as rate_month_to_date,
    sum(paid_usdt) over (partition by symbol, date_trunc('month', day) order by day) as paid_month_to_date_usdt,
    sum(rate) over (partition by symbol order by day) as rate_to_date,
    sum(paid_usdt) over (partition by symbol order by day) as paid_to_date_usdt
from days
order by symbol, day
