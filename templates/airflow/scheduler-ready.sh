#!/bin/bash
# scheduler-ready UNIT: wait until a scheduler that was started is at work, by its own word and by its heartbeat.
unit=$1 number=${1#airflow-scheduler@} patience=180
number=${number%.service}
until curl --noproxy '*' -fsS -m 10 -o /dev/null "http://127.0.0.1:$((8973 + number))/health" 2>/dev/null; do
    if [ $SECONDS -ge $patience ]; then
        echo "$unit is not at work yet, so the other schedulers are left as they are" >&2
        exit 1
    fi
    sleep 1
done
