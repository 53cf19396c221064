"""Shell functions that remove folders of which some may be file systems of their own.

A mount point cannot be removed, and is not ours: it is emptied and stays, with the folders above
it. What is mounted below a folder of ours is left alone.
"""

SHELL = r"""
mounts() {  # FOLDER: it, or what is below it, as far as it is a mount point
  under="$1" awk '{p = ENVIRON["under"]; gsub(/\\040/, " ", $5)}
    $5 == p || index($5, p "/") == 1 {print $5}' /proc/self/mountinfo
}
left() {  # FOLDER: what is left of it besides mount points and the folders above them
  [ -e "$1" ] || [ -L "$1" ] || return 0
  mounted=$(mounts "$1")
  if [ -z "$mounted" ]; then echo "$1"; return; fi
  find "$1" -xdev -mindepth 1 | mounted="$mounted" awk '
    BEGIN {n = split(ENVIRON["mounted"], found, "\n")}
    {for (i = 1; i <= n; i++) if ($0 == found[i] || index(found[i], $0 "/") == 1) next
     print}' | head -n 5
}
away() {  # FOLDER: remove it, as far as nothing is mounted there
  rm -rf --one-file-system "$1" || [ -n "$(mounts "$1")" ]
}
"""
