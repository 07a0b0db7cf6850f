# What people do today: all -dev packages in one container, then `pip wheel`. Arguments: projects, system packages.
set -eu
cd /bench
export DEBIAN_FRONTEND=noninteractive
projects=$1
shift
clock() { echo "$1 $(date +%s.%N)" >>times; }

# Not measured: pip has to come from somewhere.
apt-get -q update
apt-get -q install -y --no-install-recommends python3-venv
python3 -m venv /venv
/venv/bin/python -m pip install --quiet --upgrade pip
/venv/bin/python -m pip --version >version
rm -rf /var/lib/apt/lists/*
apt-get clean

clock start
apt-get -q update
apt-get -q install -y --no-install-recommends "$@"
clock installed
/venv/bin/python -m pip wheel --no-cache-dir --no-binary "$projects" --requirement packages.txt --wheel-dir wheels
clock end
chmod -R a+rwX .
