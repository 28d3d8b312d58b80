{#- Keep, of each symbol's revisions of an event, the latest. -#}
{% macro latest_revision(relation) %}
    select *
    from {{ relation }}
    qualify row_number() over (partition by symbol, event_time_ms order by revision desc) = 1
{% endmacro %}
