{% set bar_minutes = var('bar_minutes') %}
-- What each symbol looks like to someone who decides whether to trade it.
with bars as (
    select
        *,
        ln(close / lag(close) over (partition by symbol order by opened_at)) as log_return,
        opened_at - lag(opened_at) over (partition by symbol order by opened_at) as since_last
    from {{ ref('stg_candles') }}
),

days as (
    select symbol, date_trunc('day', opened_at) as day, sum(turnover) as turnover
    from bars
    group by all
),

turnover as (
    select symbol, median(turnover) as median_daily_turnover_usdt
    from days
    group by all
),

funding as (
    select symbol, avg(funding_rate) * 3 * 365 as funding_rate_per_year
    from {{ ref('stg_funding') }}
    group by all
)

select
    symbol,
    min(opened_at) as first_opened_at,
    max(opened_at) as last_opened_at,
    count(*) as bars,
    cast(sum(coalesce(epoch(since_last) / (60 * {{ bar_minutes }}) - 1, 0)) as bigint) as missing_bars,
    arg_max(close, opened_at) as last_close,
    stddev_samp(log_return) filter (where since_last = interval '{{ bar_minutes }} minutes') * sqrt(365 * 24 * 60 / {{ bar_minutes }}) as volatility_per_year,
    any_value(median_daily_turnover_usdt) as median_daily_turnover_usdt,
    any_value(funding_rate_per_year) as funding_rate_per_year
from bars
left join turnover using (symbol)
left join funding using (symbol)
group by symbol
order by symbol
