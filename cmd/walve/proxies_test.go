//go:build unix

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// A front is a web server in front of walve listen, configured by the README's
// recipe but for addresses, files and the idle timeout.
type front struct {
	name, file string // of the recipe, in docs
	// adapt replaces pairs of texts in the recipe; in are the test's names.
	adapt func(in frontNames) []string
	// command runs the program with the recipe in the file config.
	command func(t *testing.T, in frontNames) *exec.Cmd
	// url of /ssh.
	url func(in frontNames) string
}

// frontNames are a test's own names for what a recipe has examples of.
type frontNames struct {
	dir     string // with site.pem, certificate and key in one
	address string // of the listening socket, which the program has as descriptor 3
	backend string // address of walve listen
}

const frontIdle = "75s" // in the recipes

// There is no port to guess: nginx and haproxy inherit a socket that listens,
// and Caddy has a unix socket.
var fronts = []front{
	{
		name: "nginx", file: "nginx.conf",
		adapt: func(in frontNames) []string {
			return []string{"listen 443 ssl", "listen " + in.address + " ssl",
				"/etc/ssl/example.com.pem", "site.pem", "/etc/ssl/example.com.key", "site.pem", "127.0.0.1:8080", in.backend}
		},
		command: func(t *testing.T, in frontNames) *exec.Cmd {
			program := needProgram(t, "nginx-light", "nginx")
			writeIn(t, in.dir, "nginx.conf", `daemon off; pid nginx.pid; events {}
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	include config;
}`)
			cmd := exec.Command(program, "-e", "stderr", "-p", ".", "-c", "nginx.conf")
			cmd.Env = append(os.Environ(), "NGINX=3;")
			return cmd
		},
		url: func(in frontNames) string { return "wss://" + in.address + "/ssh" },
	},
	{
		name: "haproxy", file: "haproxy.cfg",
		adapt: func(in frontNames) []string {
			return []string{"bind :443", "bind fd@3", "/etc/haproxy/example.com.pem", "site.pem", "127.0.0.1:8080", in.backend}
		},
		command: func(t *testing.T, in frontNames) *exec.Cmd {
			return exec.Command(needProgram(t, "haproxy", "haproxy"), "-q", "-db", "-f", "config")
		},
		url: func(in frontNames) string { return "wss://" + in.address + "/ssh" },
	},
	{
		name: "caddy", file: "Caddyfile",
		adapt: func(in frontNames) []string {
			return []string{"example.com {", "{\n\tadmin off\n\tauto_https disable_redirects\n}\nexample.com {\n" +
				"\tbind unix/" + in.dir + "/socket\n\ttls site.pem site.pem", "127.0.0.1:8080", in.backend}
		},
		command: func(t *testing.T, in frontNames) *exec.Cmd {
			cmd := exec.Command(needProgram(t, "caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", "config")
			cmd.Env = append(os.Environ(), "HOME="+in.dir, "XDG_DATA_HOME="+in.dir, "XDG_CONFIG_HOME="+in.dir)
			return cmd
		},
		url: func(in frontNames) string { return "wss+unix://" + in.dir + "/socket:/ssh" },
	},
}

// start runs the web server in front of what listens at backendURL. It returns
// the arguments of a client; idle replaces the recipe's timeout if there is one.
func (f front) start(t *testing.T, backendURL, idle string) []string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	file, err := socket.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in := frontNames{dir: shortTempDir(t), address: socket.Addr().String()}
	in.backend = strings.TrimPrefix(backendURL, "ws://")
	in.backend, _, _ = strings.Cut(in.backend, "/")
	cmd := f.command(t, in)
	cmd.Dir, cmd.ExtraFiles = in.dir, []*os.File{file}

	cert, key := certificate(t)
	writeIn(t, in.dir, "site.pem", readAll(t, cert)+readAll(t, key))
	config := readAll(t, filepath.Join("../../docs", f.file))
	pairs := f.adapt(in)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(config, pairs[i]) {
			t.Errorf("%s has no %q for the test to replace", f.file, pairs[i])
		}
	}
	config = strings.NewReplacer(append(pairs, frontIdle, idle)...).Replace(config)
	writeIn(t, in.dir, "config", config)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	t.Cleanup(func() { // runs when the program has ended
		if t.Failed() {
			t.Logf("%s: %s", f.name, log.String())
		}
	})
	startUntilEnd(t, cmd)
	if strings.Contains(f.url(in), "unix") {
		awaitSocket(t, in.dir+"/socket")
	}
	return []string{"-ca", cert, "-server-name", "example.com", "-header", "Host: example.com", f.url(in)}
}

// overFronts runs f behind every web server.
func overFronts(t *testing.T, f func(*testing.T, front)) {
	for _, front := range fronts {
		t.Run(front.name, func(t *testing.T) { t.Parallel(); f(t, front) })
	}
}

// TestFronts transfers through each recipe's web server.
func TestFronts(t *testing.T) {
	overFronts(t, func(t *testing.T, f front) {
		a := serveAnswer(t, transferSize())
		listen, urls := startListen(t, 1, "-trusted-proxy", "127.0.0.1", "ws://127.0.0.1:0/ssh", a.target)
		args := f.start(t, urls[0], frontIdle)
		a.stdio(t, args...)
		a.forward(t, args...)
		line := listen.next("connected")
		if client := line["client"].(string); f.name != "caddy" && client != "127.0.0.1" {
			// With a port it would be the web server's own socket.
			t.Errorf("the client is %q, want the address of X-Forwarded-For", client)
		}
		args[len(args)-1] += "/nothing-here"
		if r := runWalve(t, nil, append([]string{"dial"}, args...)...); r.code != exitRefused {
			t.Errorf("another path: %+v, want exit code 4", r)
		}
	})
}

// TestFrontIdle has the web server cut what is idle for longer than its recipe
// says: that is an error, and a connection with -keepalive below it goes on.
func TestFrontIdle(t *testing.T) {
	overFronts(t, func(t *testing.T, f front) {
		if f.name == "caddy" {
			t.Skip("Caddy has no such limit")
		}
		_, urls := startListen(t, 1, "-keepalive", "0", "ws://127.0.0.1:0/ssh", serveTCP(t, echo))
		args := f.start(t, urls[0], "6s")
		_, address := startForward(t, append([]string{"-keepalive", "2s"}, args...)...)
		kept := dialTCP(t, address)
		roundTrip(t, kept)

		// The other one begins later, so that kept is idle for longer.
		cmd := walveCommand(t, append([]string{"dial", "-keepalive", "0"}, args...)...)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		var stderr strings.Builder
		cmd.Stderr = &stderr
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(stderr.String(), "try: -keepalive") {
			t.Errorf("without -keepalive: exit code %d, %s, want 1 and advice", code, stderr.String())
		}
		roundTrip(t, kept)
	})
}

// TestFrontHTTP2 has HAProxy take a WebSocket over HTTP/2 (RFC 8441), which its
// recipe offers, and pass it on over HTTP/1.1.
func TestFrontHTTP2(t *testing.T) {
	_, urls := startListen(t, 1, "ws://127.0.0.1:0/ssh", serveTCP(t, echo))
	for _, f := range fronts {
		if f.name != "haproxy" {
			continue
		}
		args := f.start(t, urls[0], frontIdle)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(readAll(t, args[1]))) // of -ca
		d := walve.Dialer{HTTP2: walve.HTTP2Offered, TLSConfig: &tls.Config{RootCAs: pool}}
		conn, err := d.DialURL(t.Context(), args[len(args)-1])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		if proto := conn.Response().Proto; proto != "HTTP/2.0" {
			t.Errorf("the handshake was %s", proto)
		}
		roundTrip(t, conn)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(conn); err != nil || len(b) > 0 {
			t.Errorf("the end: %q, %v", b, err)
		}
	}
}

func writeIn(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
