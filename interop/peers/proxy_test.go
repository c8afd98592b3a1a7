package peers_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/bodokaiser/walve"
)

// A proxy is a program that forwards /  to the server of a test, cuts what is
// idle for 4 s, answers /forbidden by itself, and takes /plain for ordinary HTTP.
type proxy struct {
	name, program string
	args          []string
	config        *template.Template
	ready         string // in the line it prints when it listens; empty: none
	h2, h2Backend bool   // HTTP/2 in front of the proxy, and behind it
}

// There is no port to guess: haproxy inherits a socket that listens already, as
// number 3, and nginx has a unix socket.
var proxies = []proxy{
	{
		name: "nginx", program: "nginx", args: []string{"-e", "/dev/stdout", "-p", ".", "-c", "config"},
		ready: "event method",
		config: template.Must(template.New("nginx").Parse(`
daemon off;
master_process off;
pid nginx.pid;
error_log /dev/stdout notice;
events {}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {
		listen unix:{{.Dir}}/socket{{if .TLS}} ssl{{end}};
		ssl_certificate pem;
		ssl_certificate_key pem;
		proxy_http_version 1.1;
		proxy_set_header Host $http_host;
		location / {
			proxy_pass http://{{.Backend}};
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection Upgrade;
			proxy_read_timeout 4s;
		}
		location /forbidden { return 403 "no entry"; }
		location /plain { proxy_pass http://{{.Backend}}; }
		location /dead { proxy_pass http://{{.Dead}}; }
	}
}
`))},
	haproxy("haproxy", false, false),
	haproxy("haproxy h2", true, false),
	haproxy("haproxy h2 to h2", true, true),
}

func haproxy(name string, h2, h2Backend bool) proxy {
	return proxy{
		name: name, program: "haproxy", args: []string{"-db", "-f", "config"},
		h2: h2, h2Backend: h2Backend, config: haproxyConfig,
	}
}

var haproxyConfig = template.Must(template.New("haproxy").Parse(`
global
	maxconn 100
defaults
	mode http
	timeout connect 10s
	timeout client 10s
	timeout server 10s
	timeout tunnel 4s
	retries 0
frontend front
	bind fd@3{{if .TLS}} ssl crt pem alpn h2,http/1.1{{else if .H2}} proto h2{{end}}
	http-request return status 403 content-type text/plain string "no entry" if { path /forbidden }
	{{- if .H2Backend}}
	# A CONNECT without a protocol would be a stream that is reset.
	http-request return status 400 if { path /plain }
	{{- else}}
	http-request del-header Upgrade if { path /plain }
	{{- end}}
	use_backend dead if { path /dead }
	default_backend walve
backend walve
	server walve {{.Backend}}{{if .H2Backend}} proto h2{{end}}
backend dead
	server dead {{.Dead}}{{if .H2Backend}} proto h2{{end}}
`))

// start runs the proxy in front of ln, with TLS or without, and returns a Dialer
// to it.
func (p proxy) start(t testing.TB, ln *walve.Listener, tls bool) *walve.Dialer {
	t.Helper()
	path := need(t, p.program)
	dir := t.TempDir()
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
	var config bytes.Buffer
	if err := p.config.Execute(&config, map[string]any{"Dir": dir, "TLS": tls, "Backend": ln.Addr(), "Dead": refusingAddr(t), "H2": p.h2, "H2Backend": p.h2Backend}); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"config": config.Bytes(), "pem": certificatePEM(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(path, p.args...)
	cmd.Dir, cmd.ExtraFiles = dir, []*os.File{file}
	running := start(t, cmd)
	d := &walve.Dialer{URL: fmt.Sprintf("ws://%s/", socket.Addr())}
	if p.h2 {
		d.HTTP2 = walve.HTTP2Always
	}
	if tls {
		d.URL, d.TLSConfig = "wss"+strings.TrimPrefix(d.URL, "ws"), clientTLS()
	}
	if p.ready != "" {
		for !strings.Contains(running.line(t), p.ready) {
		}
		d.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "socket"))
		}
	}
	return d
}

// certificatePEM is certificate and its key in one file.
func certificatePEM(t testing.TB) []byte {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(certificate().PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate().Certificate[0]})
	return append(cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
}

// overProxies runs f as a subtest behind every proxy, by ws and by wss.
func overProxies(t *testing.T, f func(*testing.T, *walve.Listener, *walve.Dialer)) {
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			need(t, p.program)
			for _, scheme := range []string{"ws", "wss"} {
				t.Run(scheme, func(t *testing.T) {
					t.Parallel()
					ln, _ := listen(t, nil)
					f(t, ln, p.start(t, ln, scheme == "wss"))
				})
			}
		})
	}
}

// at returns d with another path in its URL.
func at(d *walve.Dialer, path string) *walve.Dialer {
	return &walve.Dialer{URL: strings.TrimSuffix(d.URL, "/") + path, TLSConfig: d.TLSConfig, NetDial: d.NetDial, HTTP2: d.HTTP2}
}
