#!/bin/bash
# A private mail server (postfix) for mail.test, as root: mta.sh
# It demands STARTTLS and AUTH, delivers into one Maildir for each mailbox and knows no world outside.
# Prints `ready PORT DIRECTORY` (DIRECTORY/ca.pem, DIRECTORY/mail/NAME/new) and lives until its input closes.
. "$(dirname "$0")/lib.sh"

mailboxes='first second third fourth fifth sixth'
mkdir -p "$home"/etc/sasl "$home"/{queue,data,mail,tls}
chown postfix "$home/data"
chown 5000:5000 "$home/mail"
maps=
for name in $mailboxes; do maps="$maps {$name@mail.test=$name/}"; done

(
  cd "$home/tls"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=Test CA' -keyout ca.key -out ../ca.pem
  openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
  openssl x509 -req -in server.csr -CA ../ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem \
    -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1')
) >"$home/tls.log" 2>&1

cat >"$home/etc/main.cf" <<C
compatibility_level = 3.6
queue_directory = $home/queue
data_directory = $home/data
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.mail.test
mydestination =
alias_maps =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks =
default_transport = error:no world outside
virtual_mailbox_domains = mail.test
virtual_mailbox_base = $home/mail
virtual_mailbox_maps = inline:{$maps }
virtual_uid_maps = static:5000
virtual_gid_maps = static:5000
virtual_minimum_uid = 5000
smtpd_tls_cert_file = $home/tls/server.pem
smtpd_tls_key_file = $home/tls/server.key
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_path = smtpd
cyrus_sasl_config_path = $home/etc/sasl
smtpd_sasl_local_domain = mail.test
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access inline:{ {later@mail.test=450 4.2.0 come back later} {refused@mail.test=550 5.7.1 refused for good} }, permit_sasl_authenticated, reject
maillog_file = $home/data/mail.log
maillog_file_prefixes = $home
C
cat >"$home/etc/sasl/smtpd.conf" <<C
pwcheck_method: auxprop
auxprop_plugin: sasldb
mech_list: PLAIN LOGIN
sasldb_path: $home/etc/sasl/db
C
echo 'a-mail-password' | saslpasswd2 -p -c -u mail.test -f "$home/etc/sasl/db" vinculum
chown postfix "$home/etc/sasl/db"

# The folders that `postfix start` would make; its other checks take three seconds.
mkdir -p "$home"/queue/{active,bounce,corrupt,defer,deferred,flush,hold,incoming,private,saved,trace,maildrop,public,pid}
chown postfix "$home"/queue/{active,bounce,corrupt,defer,deferred,flush,hold,incoming,private,saved,trace}
chmod 700 "$home"/queue/{active,bounce,corrupt,defer,deferred,flush,hold,incoming,private,saved,trace}
chown postfix:postdrop "$home"/queue/{maildrop,public}
chmod 730 "$home/queue/maildrop"
chmod 710 "$home/queue/public"

for try in $(seq 10); do
  port=$(some_port)
  cat >"$home/etc/master.cf" <<C
127.0.0.1:$port inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
C
  setsid "$(postconf -hx -c "$home/etc" daemon_directory)/master" -c "$home/etc" -s </dev/null >"$home/log" 2>&1 &
  server=$!
  while is_running "$server"; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port" && read -r -t 5 greeting <&3 && [[ $greeting == 220* ]]) 2>/dev/null; then
      echo "ready $port $home"
      serve_until_input_ends
      exit 0
    fi
    sleep 0.05
  done
  server=
done
cat "$home/log" "$home/data/mail.log" >&2
exit 1
