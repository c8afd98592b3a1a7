package peers_test

import (
	"bytes"
	"cmp"
	"os/exec"
	"strings"
	"testing"
)

// peerModules are the peers that are Go modules, here and in interop. Those
// that come with Go (crypto/tls, net/http, net/rpc) have its version.
var peerModules = []string{
	"github.com/chromedp/chromedp",
	"github.com/coder/websocket",
	"github.com/gobwas/ws",
	"github.com/gorilla/websocket",
	"github.com/hashicorp/yamux",
	"github.com/lxzan/gws",
	"github.com/nats-io/nats-server/v2",
	"github.com/nats-io/nats.go",
	"github.com/xtaci/smux",
	"golang.org/x/crypto",
	"golang.org/x/net",
	"google.golang.org/grpc",
}

// versions print those of the peers.
var versions = []struct {
	name    string
	command func(testing.TB) *exec.Cmd
}{
	{"modules", programVersion("go", append([]string{"list", "-m"}, peerModules...)...)},
	{"go", programVersion("go", "version")},
	{"node", programVersion("node", "--version")},
	{"node ws", func(t testing.TB) *exec.Cmd {
		cmd := exec.Command(need(t, "node"), "-p", "require('ws/package.json').version")
		cmd.Env = nodeEnv()
		needNodeModule(t, "ws")
		return cmd
	}},
	{"python websockets", pythonVersion("websockets")},
	{"python autobahn", pythonVersion("autobahn")},
	{"nginx", programVersion("nginx", "-v")},
	{"haproxy", programVersion("haproxy", "-v")},
	{"chromium", programVersion("chromium", "--version")},
	// These are peers of the command walve.
	{"ssh", programVersion("ssh", "-V")},
	{"psql", programVersion("psql", "--version")},
}

func programVersion(program string, args ...string) func(testing.TB) *exec.Cmd {
	return func(t testing.TB) *exec.Cmd { return exec.Command(need(t, program), args...) }
}

func pythonVersion(module string) func(testing.TB) *exec.Cmd {
	script := "import sys, " + module + "; print(" + module + ".__version__, 'on Python', sys.version.split()[0])"
	return func(t testing.TB) *exec.Cmd { return exec.Command(needPython(t, module), "-c", script) }
}

// TestPeerVersions logs every peer and its version:
// go test -v -run TestPeerVersions.
func TestPeerVersions(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			cmd := v.command(t)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s", err, &stderr)
			}
			// Some say it on standard error.
			said := strings.TrimSpace(cmp.Or(stdout.String(), stderr.String()))
			if !strings.ContainsAny(said, "0123456789") {
				t.Fatalf("no version in %q", said)
			}
			for line := range strings.Lines(said) {
				t.Log(strings.TrimSpace(line))
			}
		})
	}
}
