package exampletest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var update = flag.Bool("update", false, "write the screenshots of the README anew")

// browser is the one Chromium of a test binary.
var browser struct {
	sync.Mutex
	ctx  context.Context // nil: not started yet
	stop func() error
}

// startBrowser returns the browser's context.
func startBrowser(path string) (context.Context, error) {
	browser.Lock()
	defer browser.Unlock()
	if browser.ctx != nil {
		return browser.ctx, nil
	}
	dir, err := os.MkdirTemp("", "chromium")
	if err != nil {
		return nil, err
	}
	output, held, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.UserDataDir(dir),
		chromedp.Env("HOME=" + dir),
		chromedp.WindowSize(800, 600),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) { cmd.Stdout = held }),
	}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "no-proxy-server",
		"disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage",
		// Pages that are not in front run on.
		"disable-background-timer-throttling", "disable-backgrounding-occluded-windows", "disable-renderer-backgrounding",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ = chromedp.NewContext(ctx)
	err = chromedp.Do(ctx)
	held.Close()
	// The standard output is open for as long as one of its processes is left.
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer output.Close()
		io.Copy(io.Discard, output)
	}()
	stop := func() error {
		err := chromedp.Cancel(ctx)
		release()
		select {
		case <-ended:
		case <-time.After(Timeout):
			err = errors.Join(err, errors.New("a process of Chromium is left"))
		}
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	browser.ctx, browser.stop = ctx, stop
	return ctx, nil
}

func stopBrowser() error {
	browser.Lock()
	defer browser.Unlock()
	if browser.ctx == nil {
		return nil
	}
	return browser.stop()
}

// A Tab is a page in Chromium. Methods that fail end the test.
type Tab struct {
	t   testing.TB
	ctx context.Context
}

// Open opens a page in a tab of its own, which ends with the test, and skips
// the test without Chromium. The test fails if a script of the page does.
func Open(t testing.TB, url string) *Tab {
	t.Helper()
	parent, err := startBrowser(Need(t, "chromium"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var exceptions []string
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewWindow(true), chromedp.WithListener(func(ev any) {
		if e, ok := ev.(*runtime.EventExceptionThrown); ok {
			mu.Lock()
			exceptions = append(exceptions, fmt.Sprint(e.ExceptionDetails))
			mu.Unlock()
		}
	}))
	ctx, cancelTimeout := context.WithTimeout(ctx, Timeout)
	t.Cleanup(func() {
		cancelTimeout()
		cancel()
		mu.Lock()
		defer mu.Unlock()
		for _, e := range exceptions {
			t.Error("script of the page:", e)
		}
	})
	tab := &Tab{t, ctx}
	// Of every WebSocket message the browser would tell chromedp the payload.
	tab.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, network.Disable, cdp.Empty{})
		return err
	}), chromedp.EmulateViewport(800, 600), chromedp.Navigate(url))
	return tab
}

func (tab *Tab) do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	if err := chromedp.Do(tab.ctx, actions...); err != nil {
		tab.fatal(err)
	}
}

func (tab *Tab) fatal(err error) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tab.ctx), 5*time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	tab.t.Fatalf("%v; the page shows:\n%s", err, text)
}

// Wait waits until a JavaScript expression is true.
func (tab *Tab) Wait(condition string) {
	tab.t.Helper()
	poll := chromedp.Poll[bool]("Boolean("+condition+")", chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(Timeout))
	if _, err := chromedp.Run(tab.ctx, poll); err != nil {
		tab.fatal(fmt.Errorf("waiting for %s: %w", condition, err))
	}
}

// WaitState waits for a state of the page's connection.
func (tab *Tab) WaitState(state string) {
	tab.t.Helper()
	tab.Wait(fmt.Sprintf("document.querySelector('.state')?.dataset.state === %q", state))
}

// Eval evaluates an expression, or waits for the promise that it is.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	v, err := chromedp.Run(tab.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.fatal(fmt.Errorf("%s: %w", expression, err))
	}
	return v
}

// Click clicks the element that a CSS selector finds.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.do(chromedp.Click(chromedp.CSS(selector)))
}

// Type types into the element that a CSS selector finds; "\r" is Enter.
func (tab *Tab) Type(selector, text string) {
	tab.t.Helper()
	tab.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Upload chooses files in an input.
func (tab *Tab) Upload(selector string, files ...string) {
	tab.t.Helper()
	tab.do(chromedp.SetUploadFiles(chromedp.CSS(selector), files))
}

// Reload loads the page again.
func (tab *Tab) Reload() {
	tab.t.Helper()
	tab.do(chromedp.Reload())
}

// Screenshot writes the picture of the page for the README if the test was
// started with -update.
func (tab *Tab) Screenshot(name string) {
	tab.t.Helper()
	if !*update {
		return
	}
	png, err := chromedp.Run(tab.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		tab.fatal(err)
	}
	if len(png) > 100<<10 {
		tab.t.Errorf("screenshot of %d bytes", len(png))
	}
	path := filepath.Join("..", "screenshots", name+".png")
	if err := os.WriteFile(path, png, 0o644); err != nil {
		tab.t.Fatal(err)
	}
}

// CheckPhone fails the test if the page is wider than the screen of a phone.
func (tab *Tab) CheckPhone() {
	tab.t.Helper()
	tab.do(chromedp.EmulateViewport(360, 640))
	if wide := Eval[[]string](tab, `[...document.querySelectorAll("body *")]
		.filter(e => !e.closest(".scroll *") && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))`); len(wide) > 0 {
		tab.t.Errorf("wider than a phone:\n%s", strings.Join(wide, "\n"))
	}
	tab.do(chromedp.EmulateViewport(800, 600))
}

// Close closes the tab.
func (tab *Tab) Close() {
	tab.t.Helper()
	if err := chromedp.Cancel(tab.ctx); err != nil {
		tab.t.Fatal(err)
	}
}
