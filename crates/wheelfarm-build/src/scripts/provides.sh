# Asks the distribution's own index which packages have a file. Runs in the builder image, with network, as nobody.
# Arguments: package manager, kind of the missing thing, its name. Writes lines to /build/out/provides:
# a path, white space, and the packages that have it, separated by commas; or "-" for a path that is not told.
set -u
manager=$1
kind=$2
name=$3
out=/build/out/provides
mkdir -p /build/out
: >$out

# What is looked for: the end of a path.
case $kind in
header) file=/$name ;;
program) file=/$name ;;
"pkg-config module") file=/$name.pc ;;
*) file=/lib${name#lib}.so ;;
esac

# Contents files are tens of MB: that of the architecture first, that of packages for all of them if it has nothing.
# The state is apart from the system's, which is read-only; signatures are checked as always.
apt_contents() {
  mkdir -p $state/lists/partial $state/cache/archives/partial
  cat >$state/apt.conf <<EOF
Acquire::IndexTargets::deb::Contents-deb {
  MetaKey "\$(COMPONENT)/Contents-$1";
  ShortDescription "Contents-$1";
  Description "\$(RELEASE)/\$(COMPONENT) Contents-$1";
  KeepCompressed "true";
  DefaultEnabled "true";
  Identifier "Contents-deb";
};
Acquire::IndexTargets::deb::Packages::DefaultEnabled "false";
Acquire::IndexTargets::deb::Translations::DefaultEnabled "false";
Acquire::Retries "3";
APT::Sandbox::User "";
Debug::NoLocking "true";
Dir::Cache "$state/cache";
Dir::State "$state";
Dir::State::lists "$state/lists";
Dir::State::status "/var/lib/dpkg/status";
EOF
  if [ -n "${SSL_CERT_FILE:-}" ]; then echo "Acquire::https::CaInfo \"$SSL_CERT_FILE\";" >>$state/apt.conf; fi
  export APT_CONFIG=$state/apt.conf
  apt-get -q update || return
  apt-get indextargets --format '$(FILENAME)' 'Identifier: Contents-deb' | sort -u | while read -r contents; do
    if [ -f "$contents" ]; then /usr/lib/apt/apt-helper cat-file "$contents" | grep -F "$file" >>$out; fi
  done
  return 0
}

case $manager in
apt)
  for architecture in "$(dpkg --print-architecture)" all; do
    state=/build/apt/$architecture
    apt_contents "$architecture" || [ "$architecture" = all ] || exit 1
    if [ -s $out ]; then break; fi
  done
  ;;
dnf)
  options="-q --setopt=cachedir=/build/dnf"
  if [ -n "${SSL_CERT_FILE:-}" ]; then options="$options --setopt=sslcacert=$SSL_CERT_FILE"; fi
  dnf $options repoquery --qf '- %{name}' --file "*$file" >$out || exit 1
  ;;
apk)
  case $kind in
  program) apk search --no-cache -q -x "cmd:$name" ;;
  "pkg-config module") apk search --no-cache -q -x "pc:$name" ;;
  esac | while read -r package; do echo "- $package"; done >$out
  ;;
esac
