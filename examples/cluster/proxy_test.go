//go:build linux || darwin || freebsd

package main

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bodokaiser/walve/examples/internal/bus"
	"github.com/bodokaiser/walve/examples/internal/exampletest"
	"github.com/nats-io/nats-server/v2/server"
)

// machines starts the example twice, as on two machines that share a NATS server.
func machines(t *testing.T) (first, second *exampletest.Process) {
	t.Helper()
	s, err := bus.Start(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return start(t, "-nats", s.ClientURL(), "-workers", "1"), start(t, "-nats", s.ClientURL(), "-workers", "1")
}

// config writes a configuration of this folder for the machines of a test.
func config(t *testing.T, name, dir, listen string, first, second *exampletest.Process) {
	t.Helper()
	text, err := os.ReadFile(name)
	must(t, err)
	pairs := []string{"127.0.0.1:8080", listen}
	for from, p := range map[string]*exampletest.Process{"127.0.0.1:8081": first, "127.0.0.1:8082": second} {
		u, err := url.Parse(p.URL)
		must(t, err)
		pairs = append(pairs, from, u.Host)
	}
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600))
}

// behind checks clients of a proxy in front of two machines: they are spread,
// and lose nothing while one machine and then the other restarts its worker.
func behind(t *testing.T, first, second *exampletest.Process, newClient func() *client) {
	t.Helper()
	ctx := bound(t)
	var readers []*client
	workers := map[int]bool{}
	for len(workers) < 2 || len(readers) < 4 {
		c := newClient()
		must(t, c.connect(ctx))
		workers[c.worker] = true
		readers = append(readers, c)
	}
	publisher := newClient()
	must(t, publisher.connect(ctx))
	rolling(t, publisher, readers, func() {
		for _, p := range []*exampletest.Process{first, second} {
			p.Signal(t, syscall.SIGHUP)
			p.Line(t, "all workers restarted")
		}
	})
}

func TestNginx(t *testing.T) {
	program := exampletest.Need(t, "nginx")
	first, second := machines(t)
	dir := t.TempDir()
	// There is no port to guess: nginx gets a unix socket.
	socket := filepath.Join(dir, "s")
	config(t, "nginx.conf", dir, "unix:"+socket, first, second)
	cmd := exec.Command(program, "-p", dir, "-c", "nginx.conf", "-g", "daemon off; error_log /dev/stdout notice;", "-e", "/dev/stdout")
	exampletest.StartCommand(t, cmd)
	behind(t, first, second, func() *client {
		c := newClient(t, "http://nginx.example/")
		c.overSocket(socket)
		return c
	})
}

func TestHAProxy(t *testing.T) {
	program := exampletest.Need(t, "haproxy")
	first, second := machines(t)
	dir := t.TempDir()
	// It inherits a socket that listens already, as number 3.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	must(t, err)
	defer f.Close()
	config(t, "haproxy.cfg", dir, "fd@3", first, second)
	cmd := exec.Command(program, "-db", "-f", "haproxy.cfg")
	cmd.Dir, cmd.ExtraFiles = dir, []*os.File{f}
	haproxy := exampletest.StartCommand(t, cmd)
	t.Cleanup(haproxy.Kill) // asked to end, it ends with a failure
	behind(t, first, second, func() *client { return newClient(t, "http://"+ln.Addr().String()+"/") })
}
