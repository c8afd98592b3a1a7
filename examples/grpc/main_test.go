package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bodokaiser/walve/examples/internal/cert"
	"github.com/bodokaiser/walve/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

// checkReport looks for a line of every call, and the closing one, over rawURL.
func checkReport(t *testing.T, report, rawURL string) {
	t.Helper()
	for _, want := range []string{
		`Health\.Check +SERVING`,
		`Greet +unary: "hello, gopher", the server sees 127\.0\.0\.1:[0-9]+`,
		`Count +server streaming: 1 to 1000`,
		`Digest +client streaming: 8388608 bytes, SHA-256 .* on both sides`,
		`Upper +bidirectional streaming: ONE, TWO, THREE`,
		`1 connection, [0-9]{7,} bytes written, [0-9]{4,} bytes read`,
	} {
		line := `(?m)^` + rawURL + ` +` + want + `$`
		if !regexp.MustCompile(line).MatchString(report) {
			t.Errorf("no line matches %s", line)
		}
	}
	if t.Failed() {
		t.Logf("the report was:\n%s", report)
	}
}

func TestOneProgram(t *testing.T) {
	report := exampletest.Output(t)
	for _, scheme := range []string{"ws", "wss"} {
		checkReport(t, report, scheme+`://127\.0\.0\.1:[1-9][0-9]*/grpc`)
	}
}

func TestTwoProcesses(t *testing.T) {
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			var certArgs []string
			if scheme == "wss" {
				certArgs = []string{"-cert", filepath.Join(t.TempDir(), "cert.pem")}
			}
			server := exampletest.Start(t, append(certArgs, "-listen", scheme+"://127.0.0.1:0/grpc")...)
			report := exampletest.Output(t, append(certArgs, "-dial", server.URL)...)
			checkReport(t, report, regexp.QuoteMeta(server.URL))
		})
	}
}

func TestErrors(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusedAddr := refused.Addr().String()
	refused.Close()

	s, err := startServer(&url.URL{Scheme: "wss", Host: "127.0.0.1:0", Path: "/grpc"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop() })
	_, otherPEM, err := cert.SelfSigned("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	right, other, empty := file("right.pem", s.certPEM), file("other.pem", otherPEM), file("empty.pem", nil)
	elsewhere := s.url.JoinPath("..", "elsewhere").String()

	for _, tt := range []struct {
		args []string
		want string // in the error
	}{
		{[]string{"-dial", "ws://" + refusedAddr}, "refused"},
		{[]string{"-dial", s.url.String(), "-cert", other}, "certificate"},
		{[]string{"-dial", s.url.String(), "-cert", empty}, "no certificate"},
		{[]string{"-dial", s.url.String(), "-cert", filepath.Join(dir, "none.pem")}, "none.pem"},
		{[]string{"-dial", elsewhere, "-cert", right}, "404"},
		{[]string{"-dial", "http://localhost"}, "scheme must be ws or wss"},
		{[]string{"-dial", "ws:///grpc"}, "host"},
		{[]string{"-listen", "wss://127.0.0.1:0"}, "-cert"},
		{[]string{"-listen", "ws://127.0.0.1:0/{x}"}, "braces"},
		{[]string{"-listen", s.url.String(), "-cert", right}, "in use"},
		{[]string{"-listen", "ws://localhost", "-dial", "ws://localhost"}, "two processes"},
		{[]string{"-cert", other}, "-listen or -dial"},
		{[]string{"-timeout", "0s"}, "positive"},
		{[]string{"ws://localhost"}, "unexpected argument"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		err := run(ctx, tt.args, io.Discard)
		if ctx.Err() != nil {
			t.Errorf("%q: ended only with its context", tt.args)
		}
		cancel()
		if err == nil || !strings.Contains(strings.ToLower(fmt.Sprint(err)), tt.want) {
			t.Errorf("%q: error %v, want one with %q", tt.args, err, tt.want)
		}
	}
}
