package enable_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/net/http2"

	_ "github.com/bodokaiser/walve/enable"
)

// enabled returns what the server of this test binary says of RFC 8441.
func enabled(t *testing.T) bool {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	go server.Serve(ln)
	defer server.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	c.Write([]byte(http2.ClientPreface))
	fr := http2.NewFramer(c, c)
	fr.WriteSettings()
	f, err := fr.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	v, ok := f.(*http2.SettingsFrame).Value(http2.SettingEnableConnectProtocol)
	return ok && v == 1
}

const child = "WALVE_ENABLE_CHILD"

// TestEnable runs the test binary as a child with each value of GODEBUG, and
// the child tells what its server does and what GODEBUG has become.
func TestEnable(t *testing.T) {
	if os.Getenv(child) != "" {
		value, set := os.LookupEnv("GODEBUG")
		os.Stdout.WriteString("child: ")
		if enabled(t) {
			os.Stdout.WriteString("on ")
		}
		if set {
			os.Stdout.WriteString("GODEBUG=" + value)
		}
		os.Stdout.WriteString("\n")
		os.Exit(0)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ env, want string }{
		{"", "child: on \n"},
		{"GODEBUG=", "child: on GODEBUG=\n"},
		{"GODEBUG=madvdontneed=1", "child: on GODEBUG=madvdontneed=1\n"},
		{"GODEBUG=http2xconnect=0", "child: GODEBUG=http2xconnect=0\n"},
		{"GODEBUG=http2xconnect=1", "child: on GODEBUG=http2xconnect=1\n"},
	} {
		cmd := exec.Command(exe, "-test.run=^TestEnable$")
		for _, e := range os.Environ() {
			if len(e) < 8 || e[:8] != "GODEBUG=" {
				cmd.Env = append(cmd.Env, e)
			}
		}
		cmd.Env = append(cmd.Env, child+"=1")
		if test.env != "" {
			cmd.Env = append(cmd.Env, test.env)
		}
		out, err := cmd.Output()
		if err != nil || string(out) != test.want {
			t.Errorf("with %q: %q, %v, want %q", test.env, out, err, test.want)
		}
	}
}
