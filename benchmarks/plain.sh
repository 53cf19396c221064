#!/usr/bin/env bash
# plain.sh RENDERED: provision this bare Debian server by hand, step after step, with no checks and no second run.
# The yardstick for the installer. Run as root; RENDERED is the output of render_plain.py.
set -euo pipefail
cd "$1"
name=$(sed -n 's|^base_url = https://||p' airflow.cfg)
say() { printf '%4ds %s\n' "$SECONDS" "$*"; }

say packages
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --no-install-recommends -o Dpkg::Use-Pty=0 \
    ca-certificates curl git libnss-myhostname nginx-light openssl postgresql python3 python3-pip-whl python3-venv >/dev/null

say users and folders
useradd --system --user-group --home-dir /var/lib/mlops/airflow --shell /usr/sbin/nologin airflow
install -d /opt/mlops/{bin,dags,airflow,tools,lib/airflow_config} /srv/mlops/workflows/releases/empty/dags /var/lib/mlops
install -d -o airflow -g airflow -m 0750 /var/lib/mlops/airflow /var/log/mlops/airflow /srv/mlops/data
install -d -m 0755 /etc/mlops /etc/mlops/tls
install -d -m 0700 /etc/mlops/secrets
ln -s releases/empty /srv/mlops/workflows/current

say database
runuser -u postgres -- env --chdir=/ psql -q <<'SQL'
CREATE ROLE airflow LOGIN;
CREATE DATABASE airflow OWNER airflow;
ALTER SYSTEM SET max_connections = 200;
SQL
systemctl restart postgresql

say tools
export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
python3 "$(echo /usr/share/python-wheels/pip-*.whl)/pip" install --quiet --disable-pip-version-check --root-user-action=ignore \
    --no-compile --require-hashes --target /opt/mlops/tools -r tools.txt

say airflow
generation=/opt/mlops/airflow/$(sha256sum airflow-3.3.2.txt | cut -c1-16)
/opt/mlops/tools/bin/uv venv --quiet --no-config --python /usr/bin/python3 "$generation"
VIRTUAL_ENV=$generation /opt/mlops/tools/bin/uv pip install --quiet --no-config --no-build --compile-bytecode \
    --require-hashes -r airflow-3.3.2.txt
ln -s "$generation" /opt/mlops/airflow/current

say secrets and configuration
(
    umask 077
    cd /etc/mlops/secrets
    openssl rand -base64 32 | tr '+/' '-_' >fernet_key
    for secret in jwt_secret session_key; do openssl rand -hex 64 >$secret; done
    for secret in admin_password verify_password; do openssl rand -hex 16 >$secret; done
    cd /etc/mlops/tls
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 -keyout privkey.pem \
        -out fullchain.pem -subj "/CN=$name" -addext "subjectAltName=DNS:$name" 2>/dev/null
)
install -m 0640 -g airflow airflow.cfg /etc/mlops/airflow.cfg
install -m 0755 credential.sh /opt/mlops/bin/credential
install -m 0755 mark-scheduler-dead /opt/mlops/bin/mark-scheduler-dead
install -m 0755 airflow-cli /usr/local/bin/airflow
install -m 0644 setup_airflow.py /opt/mlops/lib
install -m 0644 mlops_instance.py /opt/mlops/lib/airflow_config
install -m 0644 mlops_canary.py /opt/mlops/dags
install -m 0644 airflow*.service airflow.target airflow.slice /etc/systemd/system
install -m 0644 mlops.conf /etc/nginx/sites-available/mlops.conf
ln -s ../sites-available/mlops.conf /etc/nginx/sites-enabled/mlops.conf
rm /etc/nginx/sites-enabled/default
systemctl daemon-reload

say migrate
systemd-run --quiet --wait --pipe --collect --uid=airflow --gid=airflow \
    --property=WorkingDirectory=/var/lib/mlops/airflow --property=UMask=0027 \
    --property=LoadCredential=fernet_key:/etc/mlops/secrets/fernet_key \
    --property=LoadCredential=jwt_secret:/etc/mlops/secrets/jwt_secret \
    --property=LoadCredential=session_key:/etc/mlops/secrets/session_key \
    --property=LoadCredential=admin_password:/etc/mlops/secrets/admin_password \
    --property=LoadCredential=verify_password:/etc/mlops/secrets/verify_password \
    --setenv=AIRFLOW_HOME=/var/lib/mlops/airflow --setenv=AIRFLOW_CONFIG=/etc/mlops/airflow.cfg \
    /opt/mlops/airflow/current/bin/python /opt/mlops/lib/setup_airflow.py <<'JSON'
{"users": [
   {"username": "admin", "role": "Admin", "credential": "admin_password", "email": "admin@localhost"},
   {"username": "mlops-verify", "role": "Op", "credential": "verify_password", "email": "mlops-verify@localhost"}],
 "reset_passwords": [],
 "pools": [{"name": "heavy", "slots": 2, "description": "CPU-bound model runs", "include_deferred": false}]}
JSON

say start
systemctl reload nginx
systemctl enable --quiet --now airflow.target
until curl -ks --resolve "$name:443:127.0.0.1" "https://$name/api/v2/monitor/health" | python3 -c '
import json, sys
health = json.load(sys.stdin)
sys.exit(any(health[part]["status"] != "healthy" for part in ("metadatabase", "scheduler", "triggerer", "dag_processor")))
' 2>/dev/null; do sleep 1; done
say healthy
