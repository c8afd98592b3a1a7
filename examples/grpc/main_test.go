package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The tests start this binary again as the program itself.
const runMain = "WALVE_GRPC_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is a command of the program itself, killed when the test ends.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), runMain+"=1")
	return cmd
}

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
	report, err := program(t).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, report)
	}
	for _, scheme := range []string{"ws", "wss"} {
		checkReport(t, string(report), scheme+`://127\.0\.0\.1:[1-9][0-9]*/grpc`)
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
			server := program(t, append(certArgs, "-listen", scheme+"://127.0.0.1:0/grpc")...)
			stdout, err := server.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			server.Stderr = &stderr
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Process.Kill() }) // an error once it has ended
			line, err := bufio.NewReader(stdout).ReadString('\n')
			rawURL, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
			if err != nil || !ok {
				t.Fatalf("first line of the server: %q, %v", line, err)
			}

			report, err := program(t, append(certArgs, "-dial", rawURL)...).CombinedOutput()
			if err != nil {
				t.Fatalf("client: %v\n%s", err, report)
			}
			checkReport(t, string(report), regexp.QuoteMeta(rawURL))

			if runtime.GOOS == "windows" { // it has no signal to send
				return
			}
			if err := server.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := server.Wait(); err != nil {
				t.Errorf("interrupted server: %v\n%s", err, &stderr)
			}
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
	_, otherPEM, err := selfSigned("127.0.0.1")
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
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
