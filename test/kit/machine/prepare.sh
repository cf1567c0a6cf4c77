#!/bin/bash
# The inside of a Machine: mounts and a network of its own, so that what a guide says can be done as it is said, at /etc,
# at port 25, as a user that is made for it. Nothing of it is seen outside, and all of it ends with this process.
# Beyond eth0 lies a small world, the namespace "world": 10.20.1.2 is a server inside, 192.0.2.80 one of others, 198.51.100.7 a
# client of nobody.
# $1: the tree of Sealpost. $2: the folder of Node. $3: an empty folder. $4: where the network is that of a host, its name.
set -euo pipefail
tree=$1 node=$2 place=$3 name=${4:-}
mount --make-rprivate /
ip link set lo up
mount -t tmpfs tmpfs "$place"
mkdir "$place"/{etc,lib,spool,log,run,opt,bin,old}
cp -a /etc/. "$place/etc"
mount --bind /usr/local/bin "$place/old"
for file in "$place"/old/*; do ln -s "$file" "$place/bin/"; done
ln -sf "$(dirname "$0")/systemctl" "$place/bin/systemctl"
mkdir "$place/opt/sealpost"
mount --bind "$tree" "$place/opt/sealpost"
printf '%s\n' "$node" >"$place/run/node"
for folder in etc:/etc lib:/var/lib spool:/var/spool log:/var/log run:/run opt:/opt bin:/usr/local/bin; do
  mount --rbind "$place/${folder%%:*}" "${folder#*:}"
done
if [ -n "$name" ]; then
  hostname "$name"
  echo ready
  exec sleep infinity
fi
if getent passwd postfix >/dev/null; then install -d -o postfix -g postfix /var/lib/postfix; install -d /var/spool/postfix; fi
mkdir -p /run/netns
ip netns add world
ip link add eth0 type veth peer name eth0 netns world
for address in 10.20.0.1/16 192.0.2.1/24 198.51.100.1/24; do ip addr add $address dev eth0; done
ip link set eth0 up
ip -n world link set lo up
for address in 10.20.1.2/16 10.20.1.3/16 192.0.2.80/24 198.51.100.7/24; do ip -n world addr add $address dev eth0; done
ip -n world link set eth0 up
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:2\n' >/etc/resolv.conf
printf '127.0.0.1 localhost\n::1 localhost\n' >/etc/hosts
echo ready
exec sleep infinity
