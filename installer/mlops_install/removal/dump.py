"""Shell text of the last dump of databases, before they are dropped."""

DUMP = """\
there=$(for db in {databases}; do
  {psql} -c "select datname from pg_database where datname = '$db'"; done)
if [ -n "$there" ]; then (
  umask 077; new={backups}/uninstall.new
  rm -rf $new; mkdir -p $new
  for db in $there; do
    runuser -u postgres -- pg_dump -Fc "$db" > "$new/$db.dump"
    pg_restore -f /dev/null "$new/$db.dump"
  done
  [ ! -d /etc/mlops ] || cp -a /etc/mlops $new/etc
  sync -f $new
  mv -T $new {backups}/uninstall-$(date -u +%Y%m%dT%H%M%SZ)
); fi
"""
