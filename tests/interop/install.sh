#!/usr/bin/env bash
# usage: tests/interop/install.sh
# Installs the servers and clients that run.py talks to, from the Debian archive. Quick when everything is there. Needs root.
set -euo pipefail

packages=(
  kamailio kamailio-extra-modules kamailio-tls-modules kamailio-outbound-modules # SIP server; STUN on its UDP ports
  rtpengine-daemon                                                     # media relay
  baresip-core baresip-ffmpeg ffmpeg                                   # client, with H.264; decodes what was recorded
  linphone-cli                                                         # client with real-time text
  sip-tester                                                           # SIPp: scenarios of our own
  radicale                                                             # CardDAV server
  dnsmasq-base                                                         # name server
  nftables iptables                                                    # packet filters for the rules of z5 firewall
  chromium tmux                                                        # browser for reports (some 40 s to install), terminal for the live view
  sox ffmpeg tshark openssl python3 iproute2                           # judges and tools
)

missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
if [ ${#missing[@]} = 0 ]; then
  echo "all ${#packages[@]} packages are installed"
  exit 0
fi
if [ "$(id -u)" != 0 ]; then
  echo "error: not installed: ${missing[*]}; run this script as root" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
# Some of these packages start a service when they are installed; run.py starts its own processes, on its own ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -q
apt-get install -y -q --no-install-recommends "${missing[@]}"
