{#- What the platform says of a raw table: sources in order of priority, lag, grid (`tables` in dbt_project.yml). -#}
{% macro raw_table(name) %}{{ return(var('tables')[name]) }}{% endmacro %}


{#-
  One row per event of a raw table. Of the sources that describe it the one first in configs/universe.yaml wins, sources
  that are no longer there come last; of the revisions of that source the latest wins.
-#}
{% macro latest(name) %}
{%- set table = raw_table(name) %}
    select *
    from (
        select
            *,
            row_number() over (
                partition by {{ (['symbol', 'event_time_ms'] + table.identity) | join(', ') }}
                order by
                    {% for source in table.sources -%}
                    case when source = '{{ source }}' then 0 else 1 end,
                    {% endfor -%}
                    revision desc
            ) as place
        from {{ source('market', name) }}
    ) as ranked
    where place = 1
{% endmacro %}


{#- The columns that end every staging model. -#}
{% macro provenance() %}
    source,
    revision,
    {{ moment('known_at_ms') }} as known_at
{%- endmacro %}


{% macro candles(name, traded=true) %}
with latest as ({{ latest(name) }})

select
    symbol,
    {{ moment('event_time_ms') }} as opened_at,
    {{ moment('event_time_ms + ' ~ raw_table(name).period_ms) }} as closed_at,
    open,
    high,
    low,
    close,
    {%- if traded %}
    volume,
    close * volume as turnover,
    {%- endif %}
    {{- provenance() }}
from latest
{% endmacro %}
