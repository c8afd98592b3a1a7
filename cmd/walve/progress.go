package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// progressAfter is when a transfer is long enough to be shown.
const progressAfter = 2 * time.Second

// A progress counts what is sent and received, and may show it on a terminal.
type progress struct {
	sent, received counter
	done, gone     chan struct{} // nil: it is not shown
}

// A counter counts the bytes that are written to it.
type counter struct{ atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.Add(int64(len(p)))
	return len(p), nil
}

// newProgress shows progress if standard error is a terminal and a file is
// transferred. It must not be shown below ssh, whose terminal it would write
// to: there standard input and output are pipes.
func newProgress(e *env, always bool) *progress {
	p := new(progress)
	if isTerminal(e.stderr) && (always || isRegular(e.stdin) || isRegular(e.stdout)) {
		var size int64
		if f, ok := e.stdin.(*os.File); ok && isRegular(f) {
			if info, err := f.Stat(); err == nil {
				size = info.Size()
			}
		}
		p.done, p.gone = make(chan struct{}), make(chan struct{})
		go p.show(e.stderr, size)
	}
	return p
}

func (p *progress) stop() {
	if p.done != nil {
		close(p.done)
		<-p.gone
	}
}

// show writes a line once a second, over the one before.
func (p *progress) show(w io.Writer, size int64) {
	defer close(p.gone)
	start := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	shown := false
	for {
		select {
		case now := <-tick.C:
			if passed := now.Sub(start); passed >= progressAfter {
				shown = true
				fmt.Fprintf(w, "\r\x1b[K%s", progressLine(p.sent.Load(), p.received.Load(), size, passed))
			}
		case <-p.done:
			if shown {
				fmt.Fprintf(w, "\r\x1b[K%s\n", progressLine(p.sent.Load(), p.received.Load(), size, time.Since(start)))
			}
			return
		}
	}
}

// progressLine is what a transfer looks like; size is that of standard input,
// or 0.
func progressLine(sent, received, size int64, passed time.Duration) string {
	seconds := passed.Seconds()
	line := fmt.Sprintf("%d:%02d", int(passed.Minutes()), int(seconds)%60)
	if sent > 0 || size > 0 {
		line += fmt.Sprintf("  sent %s, %s/s", formatBytes(float64(sent)), formatBytes(float64(sent)/seconds))
		if size > 0 {
			line += fmt.Sprintf(", %d%%", min(100, 100*sent/size))
		}
	}
	if received > 0 {
		line += fmt.Sprintf("  received %s, %s/s", formatBytes(float64(received)), formatBytes(float64(received)/seconds))
	}
	return line
}

func formatBytes(n float64) string {
	if n < 1024 {
		return fmt.Sprintf("%.0f B", n)
	}
	unit := 0
	for n /= 1024; n >= 1024 && unit < 4; n /= 1024 {
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", n, "KMGTP"[unit])
}
