// Package tap prints test results in the Test Anything Protocol: the calls that the validation
// programs make (see build), of a library that Debian does not have.
package tap

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// T counts the results of one program.
type T struct {
	count *int
	todo  bool
}

// New starts a series of results.
func New() *T {
	return &T{count: new(int)}
}

// Header prints the version and, unless it is not known yet (0), the number of results.
func (t *T) Header(plan int) {
	fmt.Println("TAP version 13")
	if plan > 0 {
		fmt.Printf("1..%d\n", plan)
	}
}

// AutoPlan prints the number of results that were given.
func (t *T) AutoPlan() {
	fmt.Printf("1..%d\n", *t.count)
}

// Todo returns a T whose failures are expected.
func (t *T) Todo() *T {
	return &T{count: t.count, todo: true}
}

func (t *T) result(ok bool, text string) {
	*t.count++
	word, note := "ok", ""
	if !ok {
		word = "not ok"
	}
	if t.todo {
		note = "# TODO "
	}
	fmt.Printf("%s %d %s%s\n", word, *t.count, note, strings.ReplaceAll(text, "\n", " "))
}

// Ok gives one result.
func (t *T) Ok(ok bool, text string) {
	t.result(ok, "- "+text)
}

// Pass gives a good result.
func (t *T) Pass(text string) {
	t.Ok(true, text)
}

// Fail gives a bad result.
func (t *T) Fail(text string) {
	t.Ok(false, text)
}

// Skip gives count results that were not looked at.
func (t *T) Skip(count int, text string) {
	for i := 0; i < count; i++ {
		t.result(true, "# SKIP "+text)
	}
}

// Diagnostic prints text that belongs to no result.
func (t *T) Diagnostic(text string) {
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		fmt.Println("# " + line)
	}
}

// Diagnosticf is Diagnostic with a format.
func (t *T) Diagnosticf(format string, args ...interface{}) {
	t.Diagnostic(fmt.Sprintf(format, args...))
}

// YAML prints a value that explains the last result; JSON is YAML as well.
func (t *T) YAML(value interface{}) error {
	text, err := json.MarshalIndent(value, "    ", "  ")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "  ---\n    %s\n  ...\n", text)
	return nil
}
