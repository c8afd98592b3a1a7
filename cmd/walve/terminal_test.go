//go:build linux

package main

import (
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/bodokaiser/walve"
)

// A terminal is a pseudoterminal: what a program shows, and a keyboard.
type terminal struct {
	t        *testing.T
	keyboard *os.File
	program  *os.File    // the program's side
	shown    chan string // what comes, piece by piece; closed at the end
	text     string      // what expect has gone past
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	const (
		unlock = 0x40045431 // TIOCSPTLCK
		peer   = 0x5441     // TIOCGPTPEER
	)
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("there are no pseudoterminals:", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	raw, err := keyboard.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd uintptr
	var errno syscall.Errno
	raw.Control(func(master uintptr) {
		var zero int32
		if _, _, errno = syscall.Syscall(syscall.SYS_IOCTL, master, unlock, uintptr(unsafe.Pointer(&zero))); errno == 0 {
			fd, _, errno = syscall.Syscall(syscall.SYS_IOCTL, master, peer, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC)
		}
	})
	if errno != 0 {
		t.Skip("there are no pseudoterminals:", errno)
	}
	term := &terminal{t: t, keyboard: keyboard, program: os.NewFile(fd, "tty"), shown: make(chan string)}
	t.Cleanup(func() { term.program.Close() })
	return term
}

// start starts cmd, whose standard files are set already, with this as its
// controlling terminal, which is the descriptor number ctty of it.
func (term *terminal) start(cmd *exec.Cmd, ctty int) {
	term.t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: ctty}
	if err := cmd.Start(); err != nil {
		term.t.Fatal(err)
	}
	term.program.Close() // and the end of cmd is that of what it shows
	ended := make(chan struct{})
	term.t.Cleanup(func() {
		cmd.Process.Kill()
		for range term.shown { // none may be left that holds up the end
		}
		<-ended
	})
	go func() {
		defer close(ended)
		defer close(term.shown)
		b := make([]byte, 4096)
		for {
			n, err := term.keyboard.Read(b)
			if err != nil {
				return
			}
			term.shown <- string(b[:n])
		}
	}()
}

// expect waits until the pattern is shown, behind what it has gone past.
func (term *terminal) expect(pattern string) {
	term.t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	for {
		if at := re.FindStringIndex(term.text); at != nil {
			term.text = term.text[at[1]:]
			return
		}
		select {
		case s, ok := <-term.shown:
			if !ok {
				term.t.Fatalf("the command ended and never showed %q, only %q", pattern, term.text)
			}
			term.text += s
		case <-timeout:
			term.t.Fatalf("the command does not show %q, only %q", pattern, term.text)
		}
	}
}

func (term *terminal) press(keys string) {
	term.t.Helper()
	if _, err := io.WriteString(term.keyboard, keys); err != nil {
		term.t.Fatal(err)
	}
}

// TestProgressOnTerminal sends a file and holds back the answer until progress
// is shown.
func TestProgressOnTerminal(t *testing.T) {
	answer, sent := make(chan struct{}), make(chan int64, 1)
	url := serveWebSocket(t, func(conn *walve.Conn) {
		n, _ := io.Copy(io.Discard, conn)
		sent <- n
		<-answer
	})
	release := sync.OnceFunc(func() { close(answer) })
	defer release()
	const size = 3 << 20
	in, err := os.Open(writeFile(t, "in", make([]byte, size)))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	term := newTerminal(t)
	cmd := walveCommand(t, "dial", url)
	cmd.Stdin, cmd.Stderr = in, term.program
	term.start(cmd, 2)
	if n := <-sent; n != size {
		t.Errorf("the server got %d bytes, want %d", n, size)
	}
	term.expect(`\r\x1b\[K\d:\d\d  sent 3\.0 MiB, [0-9.]+ [KM]iB/s, 100%`)
	release()
	term.expect(`\r\x1b\[K\d:\d\d  sent 3\.0 MiB, [0-9.]+ [KM]iB/s, 100%\r\n$`)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestProgressWhen holds that nothing is shown below ssh, which has the
// terminal and gives walve pipes.
func TestProgressWhen(t *testing.T) {
	term := newTerminal(t)
	file, err := os.Open(writeFile(t, "in", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, test := range []struct {
		in, out, err *os.File
		always, want bool
	}{
		{file, w, term.program, false, true},
		{r, file, term.program, false, true},
		{r, w, term.program, false, false},
		{r, w, term.program, true, true},
		{term.program, term.program, term.program, false, false},
		{file, file, w, true, false},
	} {
		p := newProgress(&env{stdin: test.in, stdout: test.out, stderr: test.err}, test.always)
		p.stop()
		if got := p.done != nil; got != test.want {
			t.Errorf("from %s to %s, standard error %s, -progress=%t: shown is %t", test.in.Name(), test.out.Name(), test.err.Name(), test.always, got)
		}
	}
}

// startCat starts walve cat on a terminal, against a server that says back what
// it is told with something that would clear the screen.
func startCat(t *testing.T) (*terminal, *exec.Cmd) {
	t.Helper()
	url := serveWebSocket(t, func(conn *walve.Conn) {
		for {
			_, p, err := conn.ReadMessage()
			if err != nil {
				return
			}
			conn.WriteMessage(walve.OpText, append(p, " back\x1b[2J"...))
			conn.WriteMessage(walve.OpBinary, p)
		}
	})
	term := newTerminal(t)
	cmd := walveCommand(t, "cat", url)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = term.program, term.program, term.program
	term.start(cmd, 0)
	term.expect(`connected to ws://\S+; \^D closes\r\n`)
	return term, cmd
}

func TestCatOnTerminal(t *testing.T) {
	term, cmd := startCat(t)
	term.press("hello\n")
	term.expect(`hello back\^\[\[2J\r\n00000000  68 65 6c 6c 6f +\|hello\|\r\n`)
	term.press("\x04") // ^D
	term.expect(`closed by the server: 1000 normal closure\r\n`)
	if err := cmd.Wait(); err != nil || strings.Contains(term.text, "\x1b") {
		t.Errorf("%v, and %q was shown", err, term.text)
	}
}

func TestCatInterrupted(t *testing.T) {
	term, cmd := startCat(t)
	term.press("\x03") // ^C
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
}
