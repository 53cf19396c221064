#!/bin/sh
# watchdog SECONDS SCHEDULER DRAIN: kill components that run but hang, so that systemd starts them again.
# A component hangs when its heartbeat (for the API server: an answer) is missing for SECONDS, for a
# scheduler for SCHEDULER, and a third of that later still is; before, it may be a machine that was suspended.
# A draining scheduler is left alone; and for DRAIN seconds one with tasks: what lost PostgreSQL waits for its
# tasks and then ends. To kill a scheduler without tasks costs little. What started less than SECONDS ago is
# left alone too: the first heartbeat of a slow machine takes long.
# It also ends the runs of DAGs that are gone, which nothing else would; see lost-runs.sql. And it forgets old runs of
# our own DAGs; see old-runs.sql.
grace=$1
limit=$2
drain=$3
seen=${RUNTIME_DIRECTORY:?}
# Seconds by the clock of systemd's own "Monotonic" values: nobody sets it, and it stands still in a suspended machine.
now=$(python3 -IS -c 'import time; print(int(time.monotonic()))') || exit

beats() { # JOB_TYPE HOSTNAME-PATTERN: rows with a fresh heartbeat; fails when PostgreSQL is away
    # One of the future was written before the clock was set back: what lives writes another one.
    psql --no-psqlrc -qAt --host=/run/postgresql --username=airflow --dbname=airflow \
        --set=kind="$1" --set=host="$2" --set=limit="$limit" <<'SQL'
SELECT count(*) FROM job WHERE job_type = :'kind' AND hostname LIKE :'host' AND state = 'running'
   AND latest_heartbeat BETWEEN now() - make_interval(secs => :limit) AND now() + make_interval(secs => :limit);
SQL
}

noted() { # UNIT: seconds since it was first found without life
    echo $((now - $(cat "$seen/$1")))
}

has_tasks() { # UNIT: whether it is a scheduler that has tasks
    case $1 in airflow-scheduler@*) ;; *) return 1 ;; esac
    number=${1#*@}
    /opt/mlops/bin/running-tasks "${number%.service}" >/dev/null
}

check() { # UNIT COMMAND...: the command prints how many signs of life there are
    unit=$1; shift
    state=$(systemctl show -p ActiveState --value "$unit")
    since=$(systemctl show -p ActiveEnterTimestampMonotonic --value "$unit")
    age=$((now - since / 1000000))
    if [ "$state" != active ] || [ "$age" -lt "$grace" ]; then
        rm -f "$seen/$unit"
        return
    fi
    alive=$("$@") || return
    if [ "$alive" -gt 0 ]; then
        rm -f "$seen/$unit"
    elif [ ! -s "$seen/$unit" ]; then
        echo "$now" > "$seen/$unit"
    elif [ "$(noted "$unit")" -lt $((limit / 3)) ]; then
        :
    elif [ "$(noted "$unit")" -lt "$drain" ] && has_tasks "$unit"; then
        echo "$unit shows no life for $limit s: waiting for its tasks"
    else
        echo "$unit shows no life for $limit s: killing it"
        kill -KILL "$(systemctl show -p MainPID --value "$unit")"
        rm -f "$seen/$unit"
    fi
}

answers() { # SLOT
    curl --unix-socket "/run/airflow-api-server-$1/http" --noproxy '*' -fsS -m 20 -o /dev/null \
        http://localhost/api/v2/version && echo 1 || echo 0
} 2>/dev/null

for unit in $(systemctl list-units --plain --no-legend 'airflow-scheduler@*' | cut -d' ' -f1); do
    number=${unit#airflow-scheduler@}
    check "$unit" beats SchedulerJob "scheduler-${number%.service}.%"
done
psql --no-psqlrc -qAt --host=/run/postgresql --username=airflow --dbname=airflow \
    --set=ON_ERROR_STOP=1 --set=patience="$grace" --set=days=30 \
    --file=/opt/mlops/bin/lost-runs.sql --file=/opt/mlops/bin/old-runs.sql || :
limit=$1
check airflow-dag-processor.service beats DagProcessorJob %
check airflow-triggerer.service beats TriggererJob %
check airflow-api-server@a.service answers a
check airflow-api-server@b.service answers b
