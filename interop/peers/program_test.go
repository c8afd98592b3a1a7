package peers_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// A program is a peer that is not written in Go. It is started with "serve", and
// prints the port that it listens on, or with "dial", a URL and status codes. In
// both roles it prints what each of its connections was closed with.
type program struct {
	name     string
	command  func(t testing.TB, args ...string) *exec.Cmd
	dialOnly bool
	// ownCodes: it sends no status but 1000 and those from 3000 on, of which
	// alone RFC 6455, 7.4.2, says that they are an application's.
	ownCodes bool
}

var programs = []program{
	{name: "node ws", command: nodeScript("testdata/ws.js")},
	{name: "node builtin", dialOnly: true, command: func(t testing.TB, args ...string) *exec.Cmd {
		node := need(t, "node")
		for _, flags := range [][]string{nil, {"--experimental-websocket"}} {
			if exec.Command(node, append(flags, "-e", "WebSocket")...).Run() == nil {
				return exec.Command(node, append(append(flags, "testdata/builtin.js"), args...)...)
			}
		}
		missing(t, "a node with a WebSocket client")
		return nil
	}},
	{name: "python websockets", command: pythonScript("websockets", "testdata/websockets.py")},
	{name: "python autobahn", ownCodes: true, command: pythonScript("autobahn", "testdata/autobahn_peer.py")},
}

// nodeScript and pythonScript make the commands of scripts that need a module.
func nodeScript(script string) func(testing.TB, ...string) *exec.Cmd {
	return func(t testing.TB, args ...string) *exec.Cmd {
		cmd := exec.Command(need(t, "node"), append([]string{script}, args...)...)
		cmd.Env = nodeEnv()
		needNodeModule(t, "ws")
		return cmd
	}
}

func pythonScript(module, script string) func(testing.TB, ...string) *exec.Cmd {
	return func(t testing.TB, args ...string) *exec.Cmd {
		return exec.Command(needPython(t, module), append([]string{script}, args...)...)
	}
}

// needNodeModule ends the test as missing does if node does not find a module.
func needNodeModule(t testing.TB, module string) {
	t.Helper()
	cmd := exec.Command("node", "-e", "require.resolve('"+module+"')")
	cmd.Env = nodeEnv()
	if cmd.Run() != nil {
		missing(t, "the node module "+module)
	}
}

// programCodes are those that all programs send and print.
var programCodes = []walve.StatusCode{1000, 1001, 1003, 1008, 1011, 3000, 4000, 4999}

func TestProgramServes(t *testing.T) {
	t.Parallel()
	for _, prog := range programs {
		if prog.dialOnly {
			continue
		}
		t.Run(prog.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, prog.command(t, "serve"))
			var port int
			if _, err := fmt.Sscanf(p.line(t), "listening %d", &port); err != nil {
				t.Fatal(err)
			}
			at := fmt.Sprintf("ws://127.0.0.1:%d", port)
			t.Run("echo", func(t *testing.T) { echoedBy(t, p, at+"/echo") })
			t.Run("fragments", func(t *testing.T) { echoedBy(t, p, at+"/fragments") })
			t.Run("pings", func(t *testing.T) { pinged(t, p, at) })
			t.Run("is closed", func(t *testing.T) {
				for _, code := range programCodes {
					c := dial(t, &walve.Dialer{URL: at + "/echo"})
					if err := c.CloseWithStatus(code, "grün"); err != nil {
						t.Error(err)
					}
					p.wantLine(t, fmt.Sprintf("closed %d grün", code))
				}
			})
			t.Run("closes", func(t *testing.T) {
				for _, code := range programCodes {
					if prog.ownCodes && code != walve.StatusNormalClosure && code < 3000 {
						continue
					}
					c := dial(t, &walve.Dialer{URL: fmt.Sprintf("%s/close?code=%d&reason=%s", at, code, url.QueryEscape("grün"))})
					_, err := io.ReadAll(c)
					wantClose(t, err, code, "grün")
					if got, reason, ok := c.CloseStatus(); got != code || reason != "grün" || !ok {
						t.Errorf("CloseStatus: %v %q %v", got, reason, ok)
					}
					c.Close() // before that ws does not take the connection for closed
					p.line(t) // our answer, of which the program may say nothing
				}
			})
			t.Run("invalid text", func(t *testing.T) {
				c := dial(t, &walve.Dialer{URL: at + "/echo"})
				if err := c.WriteMessage(walve.OpText, []byte("\xed\xa0\x80")); err != nil {
					t.Fatal(err)
				}
				var closed *walve.CloseError
				if _, err := io.ReadAll(c); !errors.As(err, &closed) || closed.Code != walve.StatusInvalidFramePayloadData {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// echoedBy sends messages of several sizes and kinds to url.
func echoedBy(t *testing.T, p *process, url string) {
	c := dial(t, &walve.Dialer{URL: url})
	for _, n := range sizes {
		for op, payload := range map[walve.Opcode][]byte{walve.OpBinary: pattern(n), walve.OpText: text(n)} {
			if err := c.WriteMessage(op, payload); err != nil {
				t.Fatal(err)
			}
			gotOp, got, err := c.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			want(t, gotOp, got, op, payload)
		}
	}
	c.CloseWithStatus(4001, "bye")
	p.wantLine(t, "closed 4001 bye")
}

// pinged has walve ping the program, which pings walve for every message.
func pinged(t *testing.T, p *process, at string) {
	c := dial(t, &walve.Dialer{URL: at + "/ping"})
	answers := make(chan string, 3)
	go func() {
		defer close(answers)
		for range cap(answers) {
			_, p, err := c.ReadMessage()
			if err != nil {
				t.Error(err)
				return
			}
			answers <- string(p)
		}
	}()
	for i := range cap(answers) {
		if err := c.Ping(bound(t)); err != nil {
			t.Error(err)
		}
		if err := c.WriteMessage(walve.OpText, []byte(strconv.Itoa(i))); err != nil {
			t.Error(err)
		}
		if got := <-answers; got != strconv.Itoa(i) {
			t.Errorf("answer %q to ping %d", got, i)
		}
	}
	c.CloseWithStatus(4001, "bye")
	p.wantLine(t, "closed 4001 bye")
}

// ended is how a connection to /echo of programServer has ended.
type ended struct {
	code   walve.StatusCode
	reason string
	pinged error
}

// programServer is the server that programs dial. /echo returns messages, large
// ones in fragments, and /close closes with what the query says.
func programServer(t testing.TB) (url string, ends <-chan ended) {
	ch := make(chan ended, 10)
	mux := http.NewServeMux()
	up := walve.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r)
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(timeout))
		pinged := make(chan error, 1)
		go func() { pinged <- c.Ping(bound(t)) }()
		echoMessages(c)
		code, reason, _ := c.CloseStatus()
		ch <- ended{code, reason, <-pinged}
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r)
		if err != nil {
			return
		}
		code, _ := strconv.Atoi(r.FormValue("code"))
		if err := c.CloseWithStatus(walve.StatusCode(code), r.FormValue("reason")); err != nil {
			t.Error(err)
		}
	})
	return serve(t, mux, nil), ch
}

// echoMessages returns messages, those of more than 64 KiB in fragments, until
// the end of c.
func echoMessages(c *walve.Conn) error {
	for {
		op, r, err := c.NextMessage()
		if err != nil {
			return err
		}
		w, err := c.NextWriter(walve.Header{Fin: true, Opcode: op, Length: -1})
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
}

func TestProgramDials(t *testing.T) {
	t.Parallel()
	for _, prog := range programs {
		t.Run(prog.name, func(t *testing.T) {
			t.Parallel()
			at, ends := programServer(t)
			args := []string{"dial", at}
			for _, code := range programCodes {
				args = append(args, fmt.Sprint(uint16(code)))
			}
			p := start(t, prog.command(t, args...))
			p.line(t) // walve's answer to 4001, of which it may say nothing
			if e := <-ends; e.code != 4001 || e.reason != "grün" || e.pinged != nil {
				t.Errorf("walve saw %+v", e)
			}
			for _, code := range programCodes {
				p.wantLine(t, fmt.Sprintf("closed %d grün", code))
			}
			for line := range p.lines {
				t.Error(line)
			}
			if err := p.wait(); err != nil {
				t.Error(err)
			}
		})
	}
}
