package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// runAsWalve in the environment has the test binary be the command.
const runAsWalve = "WALVE_TEST_RUN_AS_WALVE"

func TestMain(m *testing.M) {
	if os.Getenv(runAsWalve) != "" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// patience bounds everything that a test waits for.
const patience = 3 * time.Minute

// walveCommand returns walve with args; the test's end kills it.
func walveCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env = append(os.Environ(), runAsWalve+"=1", "GORACE=atexit_sleep_ms=0", // or each process takes a second to end
		"HTTP_PROXY=", "HTTPS_PROXY=", "http_proxy=", "https_proxy=")
	return cmd
}

// A result is what a command that has ended leaves.
type result struct {
	stdout, stderr string
	code           int
}

// runWalve runs walve to its end.
func runWalve(t *testing.T, stdin io.Reader, args ...string) result {
	t.Helper()
	cmd := walveCommand(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// A process is a walve that runs for long and logs JSON.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has

	mu    sync.Mutex
	more  chan struct{} // closed, and made anew, with each line
	lines []map[string]any
	raw   []string
	read  int // lines that next has returned
}

// start starts walve; args lack -log json.
func start(t *testing.T, command string, args ...string) *process {
	t.Helper()
	cmd := walveCommand(t, append([]string{command, "-log", "json", "-v"}, args...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, exited: make(chan struct{}), more: make(chan struct{})}
	go func() {
		defer close(p.exited)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.add(lines.Text())
		}
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			tail := p.raw[max(0, len(p.raw)-20):]
			t.Logf("walve %s logged:\n%s", command, strings.Join(tail, "\n"))
		}
	})
	return p
}

func (p *process) add(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var fields map[string]any
	json.Unmarshal([]byte(line), &fields)
	p.raw = append(p.raw, line)
	p.lines = append(p.lines, fields)
	close(p.more)
	p.more = make(chan struct{})
}

// next waits for the next line with msg, behind the last one returned.
func (p *process) next(msg string) map[string]any {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		for p.read < len(p.lines) {
			line := p.lines[p.read]
			p.read++
			if line["msg"] == msg {
				p.mu.Unlock()
				return line
			}
		}
		more := p.more
		p.mu.Unlock()
		select {
		case <-more:
		case <-p.exited:
			p.mu.Lock()
			done := p.read == len(p.lines)
			p.mu.Unlock()
			if done {
				p.t.Fatalf("the command ended and never logged %q", msg)
			}
		case <-timeout:
			p.t.Fatalf("the command does not log %q", msg)
		}
	}
}

// wait returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatal("the command does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// startListen starts walve listen and returns the URLs, in the order of args.
func startListen(t *testing.T, urls int, args ...string) (*process, []string) {
	t.Helper()
	p := start(t, "listen", args...)
	var list []string
	for range urls {
		list = append(list, p.next("listening")["url"].(string))
	}
	return p, list
}

// startForward starts walve dial -listen and returns its address.
func startForward(t *testing.T, args ...string) (*process, string) {
	t.Helper()
	p := start(t, "dial", append([]string{"-listen", "127.0.0.1:0"}, args...)...)
	return p, p.next("listening")["address"].(string)
}

// serveTCP handles connections to a socket of the test's own.
func serveTCP(t *testing.T, handle func(c *net.TCPConn)) string {
	t.Helper()
	return serveOn(t, "tcp", "127.0.0.1:0", func(c net.Conn) { handle(c.(*net.TCPConn)) })
}

func serveOn(t *testing.T, network, address string, handle func(c net.Conn)) string {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(patience))
			wg.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	return ln.Addr().Network() + "://" + ln.Addr().String()
}

// echo sends back what comes, and ends when that does.
func echo(c *net.TCPConn) { io.Copy(c, c) }

// dialTCP connects to a socket that is to take it at once.
func dialTCP(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// certificate writes a self-signed certificate for 127.0.0.1 and its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "walve test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:              []string{"example.com"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		writeFile(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// requireCertificate is a server that asks for pair's certificate.
func requireCertificate(pair tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(pair.Leaf)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
}
