#!/bin/bash
# api-server-ready UNIT SOCKET WORKERS: wait until an API server answers, and answers fast.
# Its first calls cost each worker seconds, in which it answers nobody else. So bursts of calls come before the
# traffic, until three in a row take less than a second; on a machine that is slow by itself ten are enough.
unit=$1 socket=$2 at=http://localhost calls=$((2 * $3)) patience=300
quick=0 rounds=0 token=

ask() {
    curl --unix-socket "$socket" --noproxy '*' -fsS -m 60 "$@" 2>/dev/null
}

login() { # prints a token, or nothing where the password is another one; no secret gets into an argument
    printf '{"username": "mlops-verify", "password": "%s"}' "$(cat /etc/mlops/secrets/verify_password)" |
        ask -H 'Content-Type: application/json' -d @- "$at/auth/token" |
        sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p'
}

now() { # hundredths of a second by a clock that nobody sets
    local up
    read -r up _ < /proc/uptime
    echo "${up/./}"
}

burst() {
    local pids=() pid
    for _ in $(seq $calls); do
        ask -o /dev/null "$at/execution/health" &
        pids+=($!)
        [ -z "$token" ] || ask -o /dev/null -K - "$at/api/v2/dags/~/dagRuns?limit=1" \
            <<< "header = \"Authorization: Bearer $token\"" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || return; done
}

while [ $quick -lt 3 ] && [ $rounds -lt 10 ]; do
    if ! systemctl is-active -q "$unit"; then
        echo "$unit does not run"
        exit 1
    elif [ $SECONDS -ge $patience ] && [ $rounds = 0 ]; then
        echo "$unit did not answer within $patience s"
        exit 1
    elif ! ask -o /dev/null "$at/api/v2/version"; then
        sleep 0.5
        continue
    fi
    [ -n "$token" ] || token=$(login)
    begin=$(now)
    if burst; then
        rounds=$((rounds + 1)) quick=$((quick + 1))
        [ $(($(now) - begin)) -lt 100 ] || quick=0
    else
        sleep 0.5
    fi
done
