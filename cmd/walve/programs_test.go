//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// needProgram returns the path of a program of a Debian package. Without it the
// test skips, but for .ci/run that has installed the package.
func needProgram(t *testing.T, pkg, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		if path, err = filepath.Abs(path); err == nil {
			return path
		}
	}
	for _, pattern := range []string{"/usr/sbin/", "/usr/lib/postgresql/*/bin/"} {
		if found, _ := filepath.Glob(pattern + name); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	if os.Getenv("CI") != "" {
		script, err := os.ReadFile("../../.ci/run")
		if err != nil {
			t.Fatal(err)
		}
		list := regexp.MustCompile(`(?m)^debian_packages=\(([^)]*)\)`).FindSubmatch(script)
		if list != nil && strings.Contains(" "+string(list[1])+" ", " "+pkg+" ") {
			t.Fatalf("%s is missing, although .ci/run installs %s", name, pkg)
		}
	}
	t.Skipf("%s is not installed (Debian package %s)", name, pkg)
	return ""
}

// program returns a command that the test's end kills, with patience.
func program(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, name, args...)
}

// TestSSH runs OpenSSH's client with walve dial as its ProxyCommand, against
// OpenSSH's server behind walve listen, and a web server in between.
func TestSSH(t *testing.T) {
	ssh, keygen := needProgram(t, "openssh-client", "ssh"), needProgram(t, "openssh-client", "ssh-keygen")
	sshd := needProgram(t, "openssh-server", "sshd")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		os.MkdirAll("/run/sshd", 0o755) // sshd wants it, and its service makes it
	}
	dir := t.TempDir()
	key, hostKey := filepath.Join(dir, "key"), filepath.Join(dir, "host")
	for _, file := range []string{key, hostKey} {
		if out, err := program(t, keygen, "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	config := writeFile(t, "sshd_config", fmt.Appendf(nil,
		"HostKey %s\nAuthorizedKeysFile %s.pub\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n", hostKey, key))
	target := serveTCP(t, func(c *net.TCPConn) {
		f, err := c.File() // sshd -i has its connection as standard input
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		c.Close()
		var log bytes.Buffer
		cmd := program(t, sshd, "-i", "-e", "-f", config)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, &log
		cmd.Run() // it fails when the client disconnects
		t.Logf("sshd: %s", log.Bytes())
	})
	_, urls := startListen(t, 1, "ws://127.0.0.1:0/ssh", target)
	t.Run("direct", func(t *testing.T) { sshTransfer(t, ssh, key, me.Username, urls[0]) })
	overFronts(t, func(t *testing.T, f front) {
		sshTransfer(t, ssh, key, me.Username, f.start(t, urls[0], frontIdle)...)
	})
}

// sshTransfer has a remote command return what it is sent, and end with 7;
// args are those of walve dial.
func sshTransfer(t *testing.T, ssh, key, user string, args ...string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i := range args {
		args[i] = "'" + args[i] + "'"
	}
	const size = 16 << 20
	cmd := program(t, ssh, "-F", "none", "-i", key,
		"-o", "ProxyCommand='"+exe+"' dial "+strings.Join(args, " "),
		"-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null",
		user+"@host", "cat; echo done >&2; exit 7")
	cmd.Env = append(os.Environ(), runAsWalve+"=1", "GORACE=atexit_sleep_ms=0")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = stream("ssh", size), &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wantDigest(t, "through ssh", out, "ssh", size)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 7 || !strings.Contains(stderr.String(), "done\n") {
		t.Errorf("exit code %d, want the remote command's 7\n%s", code, stderr.Bytes())
	}
}

// TestPostgreSQL runs psql through a port that walve dial -listen forwards.
func TestPostgreSQL(t *testing.T) {
	psql := needProgram(t, "postgresql", "psql")
	initdb, postgres := needProgram(t, "postgresql", "initdb"), needProgram(t, "postgresql", "postgres")
	dir := shortTempDir(t)
	credential := unprivileged(t, dir)
	run := func(name string, args ...string) *exec.Cmd {
		cmd := program(t, name, args...)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := run(initdb, "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	server := run(postgres, "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off")
	stderr, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan bool, 1), make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "ready to accept connections") {
				ready <- true
			}
		}
		server.Wait()
		close(ready)
	}()
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT) // its fast shutdown
		<-ended
	})
	if !<-ready {
		t.Fatal("postgres does not start")
	}

	_, urls := startListen(t, 1, "ws://127.0.0.1:0/db", "unix://"+filepath.Join(dir, ".s.PGSQL.5432"))
	_, address := startForward(t, urls[0])
	host, port, _ := net.SplitHostPort(address)
	const rows = 100000
	cmd := program(t, psql, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", "postgres", "-d", "postgres", "-f", "-")
	cmd.Env = append(os.Environ(), "PGSSLMODE=prefer", "PGCONNECT_TIMEOUT=30")
	var script strings.Builder
	script.WriteString("SET client_min_messages = warning; CREATE TEMP TABLE n (i bigint);\nCOPY n FROM STDIN;\n")
	for i := range rows {
		fmt.Fprintln(&script, i)
	}
	script.WriteString("\\.\nSELECT count(*), sum(i) FROM n;\nCOPY n TO STDOUT;\n")
	cmd.Stdin = strings.NewReader(script.String())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("psql: %v\n%s", err, errs.Bytes())
	}
	want := fmt.Sprintf("%d|%d\n", rows, rows*(rows-1)/2)
	if !strings.Contains(out.String(), want) || strings.Count(out.String(), "\n") < rows {
		t.Errorf("psql printed %d lines, want %d and %q", strings.Count(out.String(), "\n"), rows, want)
	}
}

// unprivileged returns who may own dir: postgres refuses to run as root.
func unprivileged(t *testing.T, dir string) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Skip("there is neither a user postgres nor nobody")
	return nil
}

// startUntilEnd starts a program that the test's end kills, with its children.
func startUntilEnd(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
}

// awaitSocket waits until the unix socket at path listens. socat tells nobody,
// and a connection to try would be one to forward: Linux has a list.
func awaitSocket(t *testing.T, path string) {
	t.Helper()
	const listens = 1 << 16 // __SO_ACCEPTCON
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(patience); time.Now().Before(until); <-tick.C {
		list, err := os.ReadFile("/proc/net/unix")
		if err != nil {
			t.Skip("there is no list of sockets to see whether socat listens")
		}
		for line := range strings.SplitSeq(string(list), "\n") {
			f := strings.Fields(line)
			if len(f) != 8 || f[7] != path {
				continue
			}
			if flags, err := strconv.ParseUint(f[3], 16, 32); err == nil && flags&listens != 0 {
				return
			}
		}
	}
	t.Fatalf("nothing listens at %s", path)
}
