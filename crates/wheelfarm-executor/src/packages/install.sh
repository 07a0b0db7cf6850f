# Installs system packages in the container of an environment, then sends what the library root is made of.
# Arguments: package manager, packages. Log on stderr; stdout carries a tar file, then a line of our own.
dir=/tmp/.wheelfarm
exec 3>&1 1>&2
cd /
if [ -f $dir/environment.sh ]; then . $dir/environment.sh; fi
manager=$1
shift

install() {
  case $manager in
  apt)
    export DEBIAN_FRONTEND=noninteractive
    # A volume that all environments of a run share: lists are read once, packages downloaded once, by one at a time.
    # What apt remembers of this file system is kept out of it, and locks are ours.
    shared=/var/cache/apt
    options="-q -o Acquire::Retries=3 -o Dir::State::lists=$shared/lists -o Dir::Cache::pkgcache= -o Debug::NoLocking=1"
    if [ -f $dir/ca.pem ]; then options="$options -o Acquire::https::CaInfo=$dir/ca.pem"; fi
    # Where the sandbox has one id only, there is no user that apt could become to download.
    read -r first machine ids </proc/self/uid_map
    if [ "$ids" = 1 ]; then options="$options -o APT::Sandbox::User=root"; fi
    set -- -y --no-install-recommends -- "$@"
    exec 9>$shared/wheelfarm.lock
    flock 9 || return
    if [ ! -e $shared/wheelfarm.updated ]; then
      mkdir -p $shared/lists/partial $shared/archives/partial
      apt-get $options -o APT::Update::Error-Mode=any update || return
      : >$shared/wheelfarm.updated
    fi
    # An upgrade that installs these: the image may be older, and libraries of its own go into wheels as well.
    options="$options --with-new-pkgs"
    # Lists that are out of date name packages that are gone: the next attempt reads them again.
    apt-get $options --download-only upgrade "$@" || { rm -f $shared/wheelfarm.updated; return 1; }
    exec 9>&-
    # Syncing every file to disk guards against a crash of the machine, after which this is made again anyway.
    options="$options --no-download -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io"
    apt-get $options -o Dpkg::Options::=--force-confold upgrade "$@" || return
    ;;
  dnf)
    tool=yum
    if command -v dnf >/dev/null; then tool=dnf; fi
    options="-y --setopt=tsflags=nodocs"
    if [ $tool = dnf ]; then options="$options --setopt=install_weak_deps=False"; fi
    if [ -f $dir/ca.pem ]; then options="$options --setopt=sslcacert=$dir/ca.pem"; fi
    $tool $options install "$@" || return
    # yum is content when one of several packages exists.
    for package; do
      rpm -q --whatprovides "$package" >/dev/null || { echo "No match for argument: $package"; return 1; }
    done
    $tool clean all
    rm -rf /var/cache/dnf /var/cache/yum
    ;;
  apk)
    apk add --no-cache "$@"
    ;;
  esac
}

# The package database, for the manifest, for who owns which library and for its licences; then every library of the root file
# system (Python's own modules are no libraries), and what the loader reads.
record() {
  case $manager in
  apt)
    dpkg-query -W -f='${binary:Package}\t${Package}\t${Version}\t${Architecture}\t${db:Status-Abbrev}\n' >$dir/packages || return
    grep -F .so /var/lib/dpkg/info/*.list >$dir/owners
    grep -s -H -E '^(Format|License)' /usr/share/doc/*/copyright >$dir/licenses
    ;;
  dnf)
    rpm -qa --qf '%{NAME}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t%{ARCH}\n' >$dir/packages || return
    rpm -qa --qf '[%{FILENAMES}\t%{=NAME}\t%{=ARCH}\n]' | grep -F .so >$dir/owners
    rpm -qa --qf '%{NAME}\t%{LICENSE}\n' >$dir/licenses
    ;;
  apk)
    for file in /lib/apk/db/installed /usr/lib/apk/db/installed; do
      if [ -f $file ]; then cat $file; echo; fi
    done >$dir/packages
    : >$dir/owners
    : >$dir/licenses
    ;;
  esac
  {
    echo tmp/.wheelfarm/packages
    echo tmp/.wheelfarm/owners
    echo tmp/.wheelfarm/licenses
    find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp \) -prune -o \
      \( -type f -o -type l \) \( -name '*.so' -o -name '*.so.*' \) \
      ! -name '*.cpython-*' ! -name '*.py' ! -name '*.hmac' ! -name ld.so.cache -print
    for path in lib lib32 lib64 libx32 usr/lib usr/lib32 usr/lib64 usr/libx32; do
      if [ -L $path ]; then echo $path; fi
    done
    for path in etc/ld.so.conf etc/ld.so.conf.d/* etc/ld-musl-*.path etc/os-release usr/lib/os-release; do
      if [ -f $path ] || [ -L $path ]; then echo $path; fi
    done
  } >$dir/list
  tar -cf - -C / -T $dir/list >&3
}

# Makes a directory of programs that run ccache before a compiler, from a package that is not to stay here.
copy_tool() {
  here=$tool
  program=$(command -v ccache) || return
  exec 8>$here/lock
  flock 8 || return
  if [ -e $here/ready ]; then return; fi
  mkdir -p $here/bin $here/lib $here/data || return
  chmod 1777 $here/data
  cp $program $here/lib/ccache
  # A builder's own loader runs it with the libraries that came with it, which compilers are not to see.
  loader=$(ldd $program | sed -n 's,^[^/=]*\(/[^ ]*/ld-[^ ]*\) (.*,\1,p')
  ldd $program | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | while read -r library; do cp -L $library $here/lib; done
  run="$loader --library-path $here/lib $here/lib/ccache"
  machine=$(gcc -dumpmachine)
  for name in gcc g++ cc c++ $machine-gcc $machine-g++; do
    # By its path: by name it would find this program again.
    real=$(command -v $name) && printf '#!/bin/sh\nexec %s "$@"\n' "$run $real" >$here/bin/$name
  done
  printf '#!/bin/sh\nexec %s "$@"\n' "$run" >$here/bin/ccache
  chmod 755 $here/bin/* && : >$here/ready
}

code=0
packed=1
tool=${WHEELFARM_TOOL-}
# What is there is in use: it is never changed.
if [ $# -gt 0 ] && ! { [ -n "$tool" ] && [ -e $tool/ready ]; }; then install "$@"; code=$?; fi
if [ $code = 0 ]; then
  if [ -z "$tool" ]; then record; elif [ ! -e $tool/ready ]; then copy_tool; fi
  packed=$?
fi
rm -rf $dir
echo "wheelfarm $code $packed 0" >&3
