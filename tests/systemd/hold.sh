#!/bin/sh
# Holds what a machine for a test stands on, in namespaces of their own: no mount of it is ever seen outside, and all
# of it goes with this process. Its root is this machine's, with a layer of memory over it.
#
#   unshare --mount --pid --fork --kill-child --mount-proc sh hold.sh DIRECTORY NAME
set -eu

# A part of the tree of control groups for itself: a systemd takes the whole of what it is started in.
while IFS=: read -r _ names path; do
    case $names in
    '') top=/sys/fs/cgroup && [ ! -d $top/unified ] || top=$top/unified ;;
    name=systemd) top=/sys/fs/cgroup/systemd ;;
    *) continue ;;
    esac
    if mkdir -p "$top${path%/}/$2" 2>/dev/null; then
        echo 0 >"$top${path%/}/$2/cgroup.procs"
        echo "group $top${path%/}/$2"
    fi
done </proc/self/cgroup

mount -t tmpfs -o size=2g,mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
echo ready
exec sleep infinity
