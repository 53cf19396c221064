-- Forget old runs of our own DAGs: psql -v days=DAYS -f old-runs.sql. Airflow forgets none by itself, and mlops_pull
-- runs a hundred thousand times a year; each backup would carry them. What belongs to a run goes with it. The runs of
-- the workflows stay: `airflow db clean` is for their owners to decide. A few at a time, so that nobody waits for it.
delete from dag_run where id in (
    select id from dag_run
    where dag_id in ('mlops_pull', 'mlops_canary') and state in ('success', 'failed')
        and run_after < now() - make_interval(days => :days)
    order by id limit 200);
delete from log where id in (
    select id from log
    where dag_id in ('mlops_pull', 'mlops_canary') and dttm < now() - make_interval(days => :days)
    order by id limit 2000);
