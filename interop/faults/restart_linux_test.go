package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// journalRole writes down the messages that it gets, one a line, and then
// acknowledges them: journal SOCKET FILE. After SIGTERM it reads no more, has its
// clients connect anew, and ends.
func journalRole(args []string) error {
	file, err := os.OpenFile(args[1], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ln := walve.Listener{Fallback: http.NotFoundHandler()}
	if err := ln.Listen("unix", args[0]); err != nil {
		return err
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { journal(ctx, c.(*walve.Conn), file) })
		}
	})
	fmt.Println("listening", args[0])
	<-ctx.Done()
	limit, cancel := contextFor(timeout)
	defer cancel()
	err = ln.Shutdown(limit)
	running.Wait()
	return err
}

func journal(ctx context.Context, c *walve.Conn, file *os.File) {
	defer c.Close()
	// A read that is interrupted loses nothing, and nothing is acknowledged
	// behind it.
	defer context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	for {
		_, message, err := c.ReadMessage()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.CloseWithStatus(walve.StatusServiceRestart, "")
		}
		if err != nil {
			return
		}
		if _, err := file.Write(append(message, '\n')); err != nil {
			return
		}
		if c.WriteMessage(walve.OpText, message) != nil {
			return
		}
	}
}

// A publisher sends messages until each is acknowledged.
type publisher struct {
	url, name string
	more      func() bool // whether there are to be more

	acked, lost, sent int
	wrong             string // an acknowledgement out of turn
}

// window is how many messages are under way at a time.
const window = 8

func (p *publisher) run(ctx context.Context) error {
	for ctx.Err() == nil {
		c, err := newDialer(0).DialURL(ctx, p.url)
		if err != nil {
			continue // nobody is there for the moment
		}
		over := p.publish(c)
		c.Close()
		if over {
			return nil
		}
		p.lost++
	}
	return ctx.Err()
}

// publish reports whether all is done, when c ends.
func (p *publisher) publish(c *walve.Conn) bool {
	c.SetDeadline(time.Now().Add(timeout))
	for p.sent = p.acked; ; {
		for p.sent < p.acked+window && p.more() {
			if c.WriteMessage(walve.OpText, []byte(p.message(p.sent))) != nil {
				break // the read tells what was acknowledged before
			}
			p.sent++
		}
		if p.sent == p.acked && !p.more() {
			return true
		}
		_, got, err := c.ReadMessage()
		if err != nil {
			return false
		}
		if string(got) != p.message(p.acked) {
			p.wrong = string(got)
			return true
		}
		p.acked++
	}
}

func (p *publisher) message(i int) string { return fmt.Sprintf("%s %d", p.name, i) }

const haproxyConfig = `
global
	maxconn 1000
defaults
	mode http
	timeout connect 2s
	timeout client 60s
	timeout server 60s
	timeout tunnel 60s
	retries 3
	option redispatch 1
frontend front
	bind fd@3
	default_backend servers
backend servers
	balance roundrobin
	server first unix@first check inter 100ms
	server second unix@second check inter 100ms
`

// startHAProxy starts one before the sockets first and second of a directory,
// and returns its URL.
func startHAProxy(t *testing.T, dir string) string {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, "haproxy.cfg"), []byte(haproxyConfig), 0o600))
	// It inherits a socket that listens already, as number 3.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	must(t, err)
	defer f.Close()
	cmd := exec.Command(need(t, "haproxy"), "-db", "-f", "haproxy.cfg")
	cmd.Dir, cmd.ExtraFiles = dir, []*os.File{f}
	startCommand(t, cmd)
	return "ws://" + ln.Addr().String() + "/"
}

// TestRollingRestart: servers behind haproxy are restarted one after another
// while clients publish, and every message that was acknowledged was written
// down.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	need(t, "haproxy")
	dir := t.TempDir()
	restart := func(name string, old *process) *process {
		if old != nil {
			old.signal(t, syscall.SIGTERM)
			old.outcomes(t) // waits for its end, which has to be a success
		}
		p := start(t, "journal", filepath.Join(dir, name), filepath.Join(dir, "journal"))
		p.line(t, "listening")
		return p
	}
	names := []string{"first", "second"}
	servers := []*process{restart(names[0], nil), restart(names[1], nil)}
	at := startHAProxy(t, dir)

	ctx := bound(t)
	var more atomic.Bool
	more.Store(true)
	publishers := make([]publisher, either(8, 100))
	var publishing sync.WaitGroup
	var acked atomic.Int64
	for i := range publishers {
		p := &publishers[i]
		*p = publisher{url: at, name: fmt.Sprint("client ", i), more: more.Load}
		publishing.Go(func() {
			if err := p.run(ctx); err != nil {
				t.Error(err)
			}
			acked.Add(int64(p.acked))
		})
	}
	journaled := func() string {
		b, err := os.ReadFile(filepath.Join(dir, "journal"))
		must(t, err)
		return string(b)
	}
	rounds := either(1, 10)
	for range rounds {
		for i := range servers {
			before := len(journaled())
			waitUntil(t, "the load", func() bool { return len(journaled()) > before+5000 })
			servers[i] = restart(names[i], servers[i])
		}
	}
	more.Store(false)
	publishing.Wait()
	lines := map[string]int{}
	for line := range strings.Lines(journaled()) {
		lines[strings.TrimSuffix(line, "\n")]++
	}
	lost, twice := 0, 0
	for i := range publishers {
		p := &publishers[i]
		lost += p.lost
		if p.wrong != "" {
			t.Errorf("%q was acknowledged instead of %q", p.wrong, p.message(p.acked))
		}
		for n := range p.acked {
			switch lines[p.message(n)] {
			case 0:
				t.Errorf("%q was acknowledged and is lost", p.message(n))
			case 1:
			default:
				twice++
			}
		}
	}
	if lost < 2*rounds {
		t.Errorf("%d connections were lost: nothing was tested", lost)
	}
	t.Logf("%d restarts, %d connections made anew, %d messages acknowledged and none lost, %d sent twice", 2*rounds, lost, acked.Load(), twice)
}
