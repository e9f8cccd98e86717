# cmake -DINPUT=file -DOUTPUT=file.cc -DNAMESPACE=a::b -DSYMBOL=kName -P EmbedText.cmake : compiles a text file in.
file(READ ${INPUT} text)
file(WRITE ${OUTPUT} "// Generated from ${SYMBOL}'s text file.
namespace ${NAMESPACE} {
extern const char ${SYMBOL}[];
const char ${SYMBOL}[] = R\"text(${text})text\";
}  // namespace ${NAMESPACE}
")
