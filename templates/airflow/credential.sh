#!/bin/sh
# credential NAME: print a secret that systemd handed to this unit (LoadCredential=).
exec cat "${CREDENTIALS_DIRECTORY:?no credentials here: run Airflow as a unit or by /usr/local/bin/airflow}/$1"
