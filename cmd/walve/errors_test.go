package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestErrors holds exit codes, and that an error says what to try.
func TestErrors(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/busy":
			http.Error(w, "come back tomorrow", http.StatusServiceUnavailable)
		case "/missing":
			http.NotFound(w, r)
		}
	}))
	defer page.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	secure.StartTLS()
	defer secure.Close()
	ws := strings.Replace(page.URL, "http:", "ws:", 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "ws://" + ln.Addr().String()
	ln.Close()
	garbage := strings.Replace(serveTCP(t, func(c *net.TCPConn) {
		io.WriteString(c, "SSH-2.0-OpenSSH\r\n")
		c.CloseWrite()
		io.Copy(io.Discard, c)
	}), "tcp:", "ws:", 1)
	silent := strings.Replace(serveTCP(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) }), "tcp:", "ws:", 1)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	cert, key := certificate(t)

	for _, test := range []struct {
		args []string
		code int
		want string // in standard error
	}{
		{nil, exitUsage, "which command"},
		{[]string{"frobnicate"}, exitUsage, `no command "frobnicate"`},
		{[]string{"dial"}, exitUsage, "one URL"},
		{[]string{"dial", "-frobnicate", ws}, exitUsage, "-frobnicate"},
		{[]string{"dial", "127.0.0.1:80"}, exitUsage, "ws://host"},
		{[]string{"dial", "ftp://host/"}, exitUsage, "is not a URL such as"},
		{[]string{"dial", "-header", "nonsense", ws}, exitUsage, "no colon"},
		{[]string{"dial", "-proxy", "x", ws}, exitUsage, "-proxy is not a URL"},
		{[]string{"dial", "-debug", "127.0.0.1:0", ws}, exitUsage, "-debug is for"},
		{[]string{"cat", ws, ws}, exitUsage, "one URL"},
		{[]string{"ping"}, exitUsage, "one URL"},
		{[]string{"listen"}, exitUsage, "what is to be forwarded"},
		{[]string{"listen", "-log", "xml", "ws://:0/", "tcp://:1"}, exitUsage, "text, json or none"},
		{[]string{"listen", "wss://:0/", "tcp://:1"}, exitUsage, "needs -tls-cert and -tls-key"},
		{[]string{"listen", "-tls-cert", cert, "-tls-key", key, "ws://:0/", "tcp://:1"}, exitUsage, "no wss:// URL"},
		{[]string{"listen", "-tls-cert", key, "-tls-key", cert, "wss://:0/", "tcp://:1"}, exitFailed, "try: files in PEM"},
		{[]string{"listen", "-auth-file", "/nonexistent", "ws://:0/", "tcp://:1"}, exitFailed, "try: to check the path"},
		{[]string{"listen", "-trusted-proxy", "host", "ws://:0/", "tcp://:1"}, exitUsage, "is not a network"},
		{[]string{"listen", "ws://" + busy.Addr().String(), "tcp://:1"}, exitFailed, "try: another port"},
		{[]string{"dial", nobody}, exitConnect, "try: to start the server"},
		{[]string{"dial", garbage}, exitRefused, "the answer is not HTTP"},
		{[]string{"dial", "-timeout", "50ms", silent}, exitConnect, "try: -timeout"},
		{[]string{"dial", ws + "/"}, exitRefused, "ordinary web page"},
		{[]string{"dial", ws + "/moved"}, exitRefused, `redirects to: "/there"`},
		{[]string{"dial", ws + "/missing"}, exitRefused, "try: another path"},
		{[]string{"dial", ws + "/busy"}, exitRefused, `the server says: "come back tomorrow"`},
		{[]string{"dial", strings.Replace(secure.URL, "https:", "ws:", 1)}, exitRefused, "try: wss://"},
		{[]string{"dial", strings.Replace(secure.URL, "https:", "wss:", 1)}, exitConnect, "try: -ca FILE"},
		{[]string{"dial", "-insecure", "-server-name", "x", strings.Replace(secure.URL, "https:", "wss:", 1)}, exitRefused, "try: another path"},
		{[]string{"dial", "-ca", cert, strings.Replace(ws, "ws:", "wss:", 1)}, exitConnect, "try: ws://"},
		{[]string{"dial", "-ca", key, ws}, exitUsage, "no certificate in PEM"},
		{[]string{"dial", "-proxy", strings.Replace(nobody, "ws:", "http:", 1), "ws://192.0.2.1/"}, exitConnect, "proxy"},
		{[]string{"dial", "-proxy", page.URL, "ws://192.0.2.1/"}, exitRefused, ""},
	} {
		r := runWalve(t, nil, test.args...)
		if r.code != test.code || !strings.Contains(r.stderr, test.want) || r.stdout != "" {
			t.Errorf("walve %q: %+v, want exit code %d and %q", test.args, r, test.code, test.want)
		}
		if strings.Count(r.stderr, "try: ") != 1 && test.want != "" {
			t.Errorf("walve %q does not say what to try: %s", test.args, r.stderr)
		}
	}
}

// TestPasswordsStaySecret holds that no error shows one.
func TestPasswordsStaySecret(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	for _, args := range [][]string{
		{"dial", "ws://me:hunter2@" + ln.Addr().String()},
		{"dial", "xx://me:hunter2@host"},
		{"dial", "ws://me:hunter2@ho st"},
		{"dial", "-proxy", "http://me:hunter2@" + ln.Addr().String(), "ws://192.0.2.1/"},
		{"dial", "-proxy", "http://me:hunter2@ho st", "ws://192.0.2.1/"},
	} {
		if r := runWalve(t, nil, args...); r.code == exitOK || strings.Contains(r.stderr, "hunter2") {
			t.Errorf("walve %q: %+v", args, r)
		}
	}
}

func TestClientCertificate(t *testing.T) {
	// The command asks for no certificates: see that one is sent where it is.
	cert, key := certificate(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.TLS.PeerCertificates[0].Subject.CommonName, http.StatusForbidden)
	}))
	pair, err := loadKeyPair("", cert, "", key)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = requireCertificate(pair)
	server.StartTLS()
	defer server.Close()
	url := strings.Replace(server.URL, "https:", "wss:", 1)
	r := runWalve(t, nil, "dial", "-ca", cert, "-cert", cert, "-key", key, url)
	if r.code != exitRefused || !strings.Contains(r.stderr, "walve test") {
		t.Errorf("%+v, want the certificate's name in a 403", r)
	}
}

// TestHelp holds that each command's help has all its flags, in lines that fit
// into a terminal.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"help"}, {"listen", "-h"}, {"dial", "--help"}, {"cat", "-h"}, {"ping", "-help"}, {"help", "dial"}} {
		r := runWalve(t, nil, args...)
		if r.code != exitOK || r.stderr != "" {
			t.Errorf("walve %q: %+v", args, r)
		}
		for line := range strings.SplitSeq(r.stdout, "\n") {
			if len(strings.ReplaceAll(line, "\t", "        ")) > 105 {
				t.Errorf("walve %q: a line is too long: %q", args, line)
			}
		}
		if len(args) == 2 && (!strings.Contains(r.stdout, "Usage:") || !strings.Contains(r.stdout, "Examples:") || !strings.Contains(r.stdout, "\n  -")) {
			t.Errorf("walve %q shows no usage, no examples or no flags", args)
		}
	}
	var f listenFlags
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	f.register(fs)
	fs.VisitAll(func(f *flag.Flag) {
		if f.Usage == "" {
			t.Errorf("-%s says nothing", f.Name)
		}
	})
}

func TestProgressLine(t *testing.T) {
	for _, test := range []struct {
		sent, received, size int64
		passed               time.Duration
		want                 string
	}{
		{0, 0, 0, time.Second, "0:01"},
		{3 << 20, 0, 6 << 20, 2 * time.Second, "0:02  sent 3.0 MiB, 1.5 MiB/s, 50%"},
		{10, 5 << 30, 0, 100 * time.Second, "1:40  sent 10 B, 0 B/s  received 5.0 GiB, 51.2 MiB/s"},
	} {
		if got := progressLine(test.sent, test.received, test.size, test.passed); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func TestIsTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if isTerminal(null) || isTerminal(file) || isTerminal(strings.NewReader("")) || isRegular(null) || !isRegular(file) {
		t.Error("a file is taken for a terminal, or not for a file")
	}
}

// TestCertificateName: what a server says of itself does not control the terminal.
func TestCertificateName(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"x\x1b]0;owned\x07\x1b[2Jy"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	r := runWalve(t, nil, "dial", strings.Replace("wss://"+ln.Addr().String()+"/", "127.0.0.1", "localhost", 1))
	if strings.ContainsAny(r.stderr, "\x1b\x07") {
		t.Errorf("a certificate controls the terminal: %q", r.stderr)
	} else {
		t.Logf("%q", r.stderr)
	}
}
