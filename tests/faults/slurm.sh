#!/bin/bash
# A SLURM of one machine for tests/faults/test_slurm.py: Debian 12, as root, without systemd.
#
#   slurm.sh up FOLDER CPUS    install what is missing, write the configuration, start the daemons, wait for an idle node
#   slurm.sh down FOLDER       end these daemons, and remove the packages that `up` has installed
#
# Configuration, state, logs, sockets and the database lie in FOLDER, so that `export SLURM_CONF=FOLDER/slurm.conf` is
# all that a command needs. The packages are removed because programs behave differently where srun is installed.
set -euo pipefail
verb=$1 folder=$(realpath -m "$2") cpus=${3:-2}
packages=(slurmctld slurmd slurmdbd slurm-client munge mariadb-server)
export SLURM_CONF=$folder/slurm.conf MYSQL_UNIX_PORT=$folder/db.sock DEBIAN_FRONTEND=noninteractive

wait_for() {  # wait_for COMMAND...: until it succeeds, for at most a minute
    for _ in {1..120}; do "$@" > /dev/null 2>&1 && return; sleep 0.5; done
    echo "timed out: $*" >&2
    tail -n 5 "$folder"/*.log >&2
    return 1
}

install_packages() {
    local missing=0 program
    for program in slurmctld slurmd slurmdbd sbatch munged mariadbd; do command -v $program > /dev/null || missing=1; done
    [ $missing = 1 ] || return 0
    # no package may start a service of its own
    local policy=/usr/sbin/policy-rc.d
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' > $policy; chmod +x $policy; touch "$folder/policy"; }
    dpkg-query -W -f '${Package}\n' | sort > "$folder/packages.before"
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}" > "$folder/apt.log" 2>&1
    dpkg-query -W -f '${Package}\n' | sort | comm -13 "$folder/packages.before" - > "$folder/packages.new"
}

write_configuration() {
    local host memory
    host=$(hostname -s) memory=$(awk '/^MemTotal/ {print int($2 / 1200)}' /proc/meminfo)
    cat > "$folder/slurmdbd.conf" << END
AuthType=auth/munge
AuthInfo=socket=$folder/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
LogFile=$folder/slurmdbd.log
PidFile=$folder/slurmdbd.pid
END
    chmod 600 "$folder/slurmdbd.conf"
    cat > "$SLURM_CONF" << END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.sock
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobRequeue=1
MinJobAge=600
SchedulerParameters=sched_interval=2,bf_interval=2,requeue_delay=1
SlurmdParameters=config_overrides
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePass=$folder/munge.sock
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus Sockets=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=$memory
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
END
}

start_daemons() {
    dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none
    chmod 600 "$folder/munge.key"
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.sock" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" 2> "$folder/munged.err"
    mariadb-install-db --user=root --datadir="$folder/db" --auth-root-authentication-method=socket > "$folder/db.log" 2>&1
    mariadbd --no-defaults --user=root --datadir="$folder/db" --skip-networking --socket="$MYSQL_UNIX_PORT" \
        --pid-file="$folder/mariadbd.pid" --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
        >> "$folder/db.log" 2>&1 &
    wait_for mariadb-admin --socket="$MYSQL_UNIX_PORT" ping
    SLURM_CONF=$folder/slurmdbd.conf slurmdbd  # it looks for its own file beside the one that SLURM_CONF names
    wait_for sacctmgr --noheader show cluster
    sacctmgr --immediate add cluster test > /dev/null
    slurmctld
    slurmd
    wait_for sh -c 'sinfo --noheader --format=%t | grep -q idle'
}

case $verb in
    up)
        mkdir -p "$folder"/{state,spool,db}
        install_packages
        write_configuration
        start_daemons
        ;;
    down)
        for name in slurmd slurmctld slurmdbd mariadbd munged; do
            [ -s "$folder/$name.pid" ] || continue
            pid=$(cat "$folder/$name.pid")
            kill "$pid" 2> /dev/null && wait_for sh -c "! kill -0 $pid" || true
        done
        if [ -s "$folder/packages.new" ]; then
            xargs apt-get purge -y -qq < "$folder/packages.new" > "$folder/apt.log" 2>&1
        fi
        if [ -e "$folder/policy" ]; then rm /usr/sbin/policy-rc.d; fi
        ;;
    *)
        echo "usage: $0 up FOLDER [CPUS] | down FOLDER" >&2
        exit 2
        ;;
esac
