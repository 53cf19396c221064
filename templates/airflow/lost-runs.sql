-- End the runs of DAGs that are gone: psql -v patience=SECONDS -f lost-runs.sql prints what it ended.
-- Airflow's schedulers pass over a DAG that is in no file any more, its unfinished runs too: such a run would be
-- "running" for ever, and keep its release (apache/airflow#37836). A task at work is left to end first. `patience`:
-- for so long no scheduler has looked at the run, so none is about to; a DAG may be gone for a moment only.
with lost as (
    update dag_run run set state = 'failed', end_date = now(), updated_at = now()
    from dag
    where dag.dag_id = run.dag_id and dag.is_stale and run.state in ('queued', 'running')
        and coalesce(run.last_scheduling_decision, run.queued_at, run.run_after)
            < now() - make_interval(secs => :patience)
        and not exists (
            select from task_instance task
            where task.dag_id = run.dag_id and task.run_id = run.run_id
                and (task.state in ('queued', 'running', 'restarting', 'deferred')
                    or task.end_date > now() - make_interval(secs => :patience)))
    returning run.id, run.dag_id, run.run_id
), tasks as (
    update task_instance task set state = 'removed', updated_at = now()
    from lost
    where task.dag_id = lost.dag_id and task.run_id = lost.run_id
        and (task.state is null or task.state in ('scheduled', 'up_for_retry', 'up_for_reschedule'))
), notes as (
    insert into dag_run_note (dag_run_id, content, created_at, updated_at)
    select id, 'Failed: its DAG was removed from the workflows while the run was under way.', now(), now()
    from lost
    on conflict (dag_run_id) do update
        set content = left(excluded.content || ' ' || dag_run_note.content, 1000), updated_at = now()
)
select dag_id || ' ' || run_id || ': its DAG is gone, so the run is failed' from lost order by 1;
