{%- set bar_ms = raw_table('candles').period_ms -%}
{%- set paid = raw_table('funding') -%}
{%- set longest_ms = [paid.silence_ms // paid.step_ms, 1] | max * paid.step_ms -%}
{%- set wanted = var('tradable') -%}
-- What each symbol looks like to someone who decides whether to trade it, the most liquid first.
with candles as (
    select
        *,
        {{ ms('opened_at') }} as opened_ms,
        lag(close) over (partition by symbol order by opened_at) as close_before,
        lag(opened_at) over (partition by symbol order by opened_at) as opened_before,
        max(opened_at) over (partition by symbol) as last_of_all
    from {{ ref('stg_candles') }}
),

bars as (
    select
        *,
        {{ whole('opened_ms - ' ~ ms('opened_before'), bar_ms) }} as bars_on
    from candles
),

spans as (
    select
        symbol,
        min(opened_at) as first_opened_at,
        max(opened_at) as last_opened_at,
        count(*) as bars,
        max(case when opened_at = last_of_all then close end) as last_close,
        stddev_samp(case when bars_on = 1 then ln(close / close_before) end)
            * sqrt(365.0 * 86400000 / {{ bar_ms }}) as volatility_per_year
    from bars
    group by symbol
),

days as (
    select symbol, cast(opened_at as date) as day, sum(turnover) as turnover
    from candles
    where opened_at > last_of_all - interval '{{ wanted.liquidity_days }} days'
    group by symbol, cast(opened_at as date)
),

liquidity as (
    select symbol, {{ percentile('turnover', 0.5) }} as median_daily_turnover_usdt
    from days
    group by symbol
),

-- What is excused in the coverage is not held against a symbol.
holes as (
    select symbol, cast(sum(rows_expected - rows_found) as bigint) as missing_bars
    from {{ ref('coverage') }}
    where series = 'candles'
    group by symbol
),

-- A settlement is for the time since the one before it, of which there is no more than the longest interval: what lies
-- before that was not read. The interval of a symbol may change.
settlements as (
    select
        symbol,
        funding_rate,
        coalesce(
            {{ ms('settled_hour') }} - lag({{ ms('settled_hour') }}) over (partition by symbol order by settled_hour),
            lead({{ ms('settled_hour') }}) over (partition by symbol order by settled_hour) - {{ ms('settled_hour') }}
        ) as gap_ms
    from {{ ref('stg_funding') }}
),

funding as (
    select
        symbol,
        sum(funding_rate) * 365.0 * 86400000 / sum(least(gap_ms, {{ longest_ms }})) as funding_rate_per_year
    from settlements
    group by symbol
),

described as (
    select
        spans.*,
        cast({{ ms('last_opened_at') }} - {{ ms('first_opened_at') }} + {{ bar_ms }} as double precision) / 86400000 as days,
        missing_bars,
        cast(missing_bars as double precision) / (bars + missing_bars) as missing_share,
        median_daily_turnover_usdt,
        funding_rate_per_year
    from spans
    inner join holes on holes.symbol = spans.symbol
    left join liquidity on liquidity.symbol = spans.symbol
    left join funding on funding.symbol = spans.symbol
),

judged as (
    select
        *,
        nullif(concat_ws(
            '; ',
            case when median_daily_turnover_usdt < {{ wanted.min_median_daily_turnover_usdt }} then 'less than {{ wanted.min_median_daily_turnover_usdt }} USDT traded on a median day' end,
            case when days < {{ wanted.min_days }} then 'less than {{ wanted.min_days }} days of history' end,
            case when missing_share > {{ wanted.max_missing_share }} then 'more than {{ wanted.max_missing_share * 100 }} % of its bars missing' end
        ), '') as not_tradable_because
    from described
)

select
    row_number() over (order by median_daily_turnover_usdt desc, symbol) as liquidity_rank,
    *,
    not_tradable_because is null as tradable
from judged
order by liquidity_rank
